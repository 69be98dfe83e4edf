using System.Text.Json;
using System.Text.Json.Serialization;
using XenTwoLevelCkpt.Cluster;
using XenTwoLevelCkpt.Protocol.Recovery;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Control.Clusters;

/// <summary>A cluster as <c>xtlctl cluster status --json</c> prints it.</summary>
/// <param name="Line">The greatest line that no failure takes the cluster back behind; null where it is not known.</param>
/// <param name="Nodes">The nodes.</param>
/// <param name="Next">What to do next, as sentences; empty where nothing is to be done.</param>
internal sealed record ClusterJson(long? Line, IReadOnlyList<ClusterNodeJson> Nodes, IReadOnlyList<string> Next)
{
    internal static ClusterJson From(ClusterView view) => new(
        view.SafeLine, [.. view.Nodes.Select(n => ClusterNodeJson.From(n, view.SafeLine))], ClusterRecoveryPlanner.Advice(view.State));
}

/// <summary>A node of a cluster. All but <paramref name="Name"/> and <paramref name="Problem"/> are null where it does not
/// answer.</summary>
/// <param name="Name">Its name.</param>
/// <param name="State">What it does; <c>awaitsRecovery</c> where it has lost what was on its way.</param>
/// <param name="Index">sn; null also where it awaits a recovery.</param>
/// <param name="DurableIndex">Its durable index.</param>
/// <param name="Lag">How far its index is ahead of the line.</param>
/// <param name="Incarnation">How often the cluster has recovered.</param>
/// <param name="Domains">Its domains.</param>
/// <param name="Peers">The other nodes that it has links to.</param>
/// <param name="Connected">Those of them whose link is up.</param>
/// <param name="Problem">Why it does not answer; null where it does.</param>
internal sealed record ClusterNodeJson(
    string Name, string? State, long? Index, long? DurableIndex, long? Lag, long? Incarnation, int? Domains, int? Peers,
    int? Connected, string? Problem)
{
    internal static ClusterNodeJson From(NodeView view, long? line) => view.Node is not { } node
        ? new ClusterNodeJson(view.Name, null, null, null, null, null, null, null, null, view.Problem)
        : new ClusterNodeJson(
            view.Name, node.AwaitsRecovery ? "awaitsRecovery" : JsonNamingPolicy.CamelCase.ConvertName($"{node.State}"),
            node.AwaitsRecovery ? null : (long)node.Sn, (long)node.DurableSn, node.AwaitsRecovery ? null : (long)node.Sn - line,
            (long)node.Incarnation, (int)node.Domains, node.Peers.Count, node.Peers.Count(p => p.Connected), null);
}

/// <summary>A node's member of a line, for <c>xtlctl cluster line --json</c>.</summary>
/// <param name="Node">The node.</param>
/// <param name="Id">The checkpoint's UUID; null where the node has none for this line, and would take one.</param>
/// <param name="Epoch">Its epoch.</param>
/// <param name="Index">Its index.</param>
/// <param name="Captured">When the state was captured.</param>
/// <param name="Durable">Whether storage outside of the node has it.</param>
internal sealed record MemberJson(
    string Node, string? Id, ulong? Epoch, long? Index, DateTimeOffset? Captured, bool? Durable)
{
    internal static MemberJson From(string node, Checkpoint? c) => new(
        node, c?.Id, c?.Epoch, (long?)c?.Index, c?.Captured.ToDateTimeOffset(), c?.Durable);
}

/// <summary>A line, for <c>xtlctl cluster line --json</c>.</summary>
/// <param name="Line">k.</param>
/// <param name="Members">By node its member.</param>
internal sealed record LineJson(long Line, IReadOnlyList<MemberJson> Members);

/// <summary>A recovery, for <c>xtlctl cluster recover --json</c>.</summary>
/// <param name="Line">k.</param>
/// <param name="Incarnation">The incarnation that begins.</param>
/// <param name="Moves">Lost nodes, and the nodes that bring their domains up.</param>
/// <param name="Resumed">True where it is the rest of one that was interrupted.</param>
/// <param name="Done">True where it is done.</param>
/// <param name="Nodes">The parts of the nodes.</param>
internal sealed record RecoveryJson(
    long Line, int Incarnation, IReadOnlyList<MoveJson> Moves, bool Resumed, bool Done, IReadOnlyList<RecoveryPartJson> Nodes)
{
    internal static RecoveryJson From(ClusterRecovery recovery, bool done) => new(
        recovery.Order.Line, recovery.Order.Incarnation, [.. recovery.Order.Moves.Select(m => new MoveJson(m.Node, m.To))], recovery.Resumed, done,
        [.. recovery.Steps.Select(RecoveryPartJson.From)]);
}

/// <summary>The domains of a lost node come up on another one.</summary>
/// <param name="Node">The lost node.</param>
/// <param name="To">The other one.</param>
internal sealed record MoveJson(string Node, string To);

/// <summary>A node's part in a recovery.</summary>
/// <param name="Node">The node.</param>
/// <param name="Action"><c>rollBack</c> or <c>checkpoint</c>.</param>
/// <param name="Checkpoint">The checkpoint's UUID; null where it is not taken yet.</param>
/// <param name="Index">Its index.</param>
/// <param name="Domains">Names of the domains that are restored.</param>
/// <param name="ReplayedBatches">Batches that were delivered again.</param>
internal sealed record RecoveryPartJson(
    string Node, string Action, string? Checkpoint, long Index, IReadOnlyList<string> Domains, long ReplayedBatches)
{
    internal static RecoveryPartJson From(RecoveryPart part) => new(
        part.Node, JsonNamingPolicy.CamelCase.ConvertName($"{part.Response.Action}"),
        part.Response.CheckpointId.Length > 0 ? part.Response.CheckpointId : null, (long)part.Response.Index,
        [.. part.Response.Domains.Select(d => d.Name)], (long)part.Response.ReplayedBatches);
}

/// <summary>What a node has removed, or would remove, for <c>xtlctl cluster gc --json</c>.</summary>
/// <param name="Node">The node.</param>
/// <param name="Epochs">The epochs of the checkpoints.</param>
/// <param name="Bytes">Octets of their files.</param>
internal sealed record GarbageJson(string Node, IReadOnlyList<ulong> Epochs, ulong Bytes);

/// <summary>Serialisers made at build time.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true)]
[JsonSerializable(typeof(ClusterJson))]
[JsonSerializable(typeof(LineJson))]
[JsonSerializable(typeof(RecoveryJson))]
[JsonSerializable(typeof(GarbageJson[]))]
internal sealed partial class ClusterJsonContext : JsonSerializerContext;
