namespace XenTwoLevelCkpt.Channels;

/// <summary>A node that is lost for good, and where its domains are.</summary>
/// <param name="Node">The lost node.</param>
/// <param name="Host">The node that has them.</param>
/// <param name="Incarnation">The incarnation that began with the recovery that brought them there; of several recoveries, the
/// first one.</param>
/// <param name="Settled">True once every line that a failure can take the cluster back to has them on their new node: a recovery need
/// not bring them there once more. Known on disk before anybody hears of it (<see cref="INodeMessages.ToSettle"/>).</param>
public sealed record Departure(string Node, string Host, int Incarnation, bool Settled = false)
{
    // Null where it was read from a record without it.
    private readonly IReadOnlyList<Stay>? _earlier;

    /// <summary>Where its domains were before, the first place first: what was sent to that place then was for them, too.</summary>
    public IReadOnlyList<Stay> Earlier
    {
        get => _earlier ?? [];
        init => _earlier = value;
    }

    /// <summary>The node that had its domains in an incarnation; null where it was not lost yet.</summary>
    /// <param name="incarnation">The incarnation.</param>
    public string? HostIn(int incarnation) => incarnation >= Incarnation
        ? Host
        : Earlier.LastOrDefault(stay => stay.Incarnation <= incarnation)?.Host;
}

/// <summary>Where domains of a lost node were for a while.</summary>
/// <param name="Host">The node that had them.</param>
/// <param name="Incarnation">The incarnation from which on.</param>
public sealed record Stay(string Host, int Incarnation);

/// <summary>What is left of a lost node whose domains come to this one. They have been put back to its checkpoint of the line, and
/// do not run yet.</summary>
/// <param name="Node">The lost node.</param>
/// <param name="State">What its <see cref="INodeMessages.TakeState"/> gave for that checkpoint; empty for the initial state.
/// </param>
/// <param name="LogDirectory">The directory of its channel log; one that is not there is an empty log.</param>
/// <param name="Domains">Its domains, by UUID.</param>
public sealed record Adoption(
    string Node, ReadOnlyMemory<byte> State, string LogDirectory, IReadOnlyCollection<Guid> Domains);

/// <summary>Some of a node's guests: those that a frame may be for.</summary>
/// <remarks>A frame whose receiver no peer was known to have went to all of them. Where the guests of one are at another one now,
/// two of its copies may come there; each is for the guests of the node that it was sent to.</remarks>
public sealed class Audience
{
    private readonly HashSet<Guid> _guests;
    private readonly bool _only;

    private Audience(IEnumerable<Guid> guests, bool only)
    {
        _guests = [.. guests];
        _only = only;
    }

    /// <summary>These guests alone.</summary>
    /// <param name="guests">Their UUIDs.</param>
    public static Audience Only(IEnumerable<Guid> guests) => new(guests, only: true);

    /// <summary>All but these.</summary>
    /// <param name="guests">Their UUIDs.</param>
    public static Audience Except(IEnumerable<Guid> guests) => new(guests, only: false);

    /// <summary>True where a guest is one of them.</summary>
    /// <param name="guest">Its UUID.</param>
    public bool Includes(Guid guest) => _guests.Contains(guest) == _only;
}
