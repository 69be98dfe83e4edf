using System.Text.Json;
using System.Text.Json.Serialization;

namespace XenTwoLevelCkpt.Daemon.Page;

/// <summary>Something that the page draws at a place of its own, from left to right as this node learnt it.</summary>
/// <param name="Kind">What it stands for; the page's names.</param>
/// <param name="Node">Whose line it stands on.</param>
/// <param name="At">When this node learnt it, in milliseconds since 1970 UTC.</param>
internal sealed record PageMark(string Kind, string Node, long At)
{
    /// <summary>The index of the node, or of the checkpoint.</summary>
    public long? Index { get; init; }

    /// <summary>The incarnation that began; null where none did.</summary>
    public int? Incarnation { get; init; }

    /// <summary>The message that forced the checkpoint.</summary>
    public PageMessage? By { get; init; }

    /// <summary>More about it, for a person.</summary>
    public string? Text { get; init; }
}

/// <summary>A message that forced a checkpoint.</summary>
/// <param name="Node">Its sender.</param>
/// <param name="Index">The index that it carries.</param>
internal sealed record PageMessage(string Node, long Index);

/// <summary>How things are; a newer one takes the place of an older one.</summary>
/// <param name="At">When, in milliseconds since 1970 UTC.</param>
/// <param name="State">What the node is doing.</param>
/// <param name="AwaitsRecovery">Whether it waits for a recovery.</param>
/// <param name="Index">Its index; null while it has none, or awaits a recovery.</param>
/// <param name="Durable">Its durable index.</param>
/// <param name="Incarnation">Its incarnation.</param>
/// <param name="Line">The recovery line, the least durable index over all nodes; null where one was never heard of.</param>
/// <param name="Peers">The other nodes, in the order of their names.</param>
internal sealed record PageNow(
    long At, string State, bool AwaitsRecovery, long? Index, long? Durable, int? Incarnation, long? Line,
    IReadOnlyList<PagePeer> Peers);

/// <summary>What was last heard of another node.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Connected">Whether the link is up.</param>
/// <param name="Heard">When it was last heard of, in seconds since 1970 UTC; null where it never was.</param>
/// <param name="Index">The index that it told.</param>
/// <param name="Durable">The durable index that it told.</param>
/// <param name="Incarnation">The incarnation that it told.</param>
/// <param name="Problem">What is wrong with the link; null where nothing is.</param>
internal sealed record PagePeer(
    string Name, bool Connected, long? Heard, long Index, long Durable, int Incarnation, string? Problem);

/// <summary>What a viewer is told first.</summary>
/// <param name="Run">This run of the daemon: marks are numbered from 1 in each.</param>
/// <param name="Node">The node that serves the page.</param>
/// <param name="Nodes">All nodes, in the order of their names.</param>
/// <param name="Protocol">The protocol between them.</param>
internal sealed record PageHello(string Run, string Node, IReadOnlyList<string> Nodes, string Protocol);

/// <summary>Marks that a viewer does not get.</summary>
/// <param name="Missed">How many.</param>
internal sealed record PageGap(long Missed);

/// <summary>Serialisers made at build time. Their encoder escapes line ends, quotes and markup, so no text ends a line of the
/// stream.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(PageMark))]
[JsonSerializable(typeof(PageNow))]
[JsonSerializable(typeof(PageHello))]
[JsonSerializable(typeof(PageGap))]
internal sealed partial class PageJson : JsonSerializerContext;
