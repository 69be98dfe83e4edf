namespace XenTwoLevelCkpt.Channels;

/// <summary>The ends of a lost node's channels, at the node that has its domains. What was on its way over the recovery line goes on
/// in them, with the numbers that it had; what the domains send from then on is their new node's.</summary>
/// <remarks>Under the messenger's lock.</remarks>
internal sealed class HostedNode
{
    internal HostedNode(HostedState state, int number, IReadOnlyList<string> names)
    {
        Name = state.Name;
        Number = number;
        Host = state.Host;
        Incarnation = state.Incarnation;
        Line = state.Line;
        First = state.First;
        Domains = state.Domains;
        Links = new PeerLink?[names.Count];
        for (int i = 0; i < names.Count; i++)
        {
            if (i != number)
            {
                // Nothing is added to its windows, so that they have no bound.
                var link = new PeerLink(names[i], i, long.MaxValue, waitingLimit: 0) { End = this };
                link.Restore(state.Peers.FirstOrDefault(peer => peer.Name == names[i]));
                Links[i] = link;
            }
        }
    }

    internal string Name { get; }

    /// <summary>Its place among all names of the cluster.</summary>
    internal int Number { get; }

    /// <summary>The node to which its domains came.</summary>
    internal string Host { get; }

    /// <summary>The incarnation in which they came there.</summary>
    internal int Incarnation { get; }

    /// <summary>The line with which they came here.</summary>
    internal long Line { get; }

    /// <summary>The least line whose member on this node has them; 0 where no checkpoint does.</summary>
    internal long First { get; set; }

    internal Guid[] Domains { get; }

    /// <summary>Its channels, by the number of the other node; null at its own.</summary>
    internal PeerLink?[] Links { get; }

    /// <summary>Its state, as of now.</summary>
    /// <param name="first"><see cref="First"/>, where it is 0.</param>
    internal HostedState Note(long first) => new(
        Name, Host, Incarnation, Line, First == 0 ? first : First, Domains, [.. Links.OfType<PeerLink>().Select(link => link.Note())]);
}
