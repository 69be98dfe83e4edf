using XenTwoLevelCkpt.Protocol.Recovery;
using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Cluster;

/// <summary>A node as it was found.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Node">What it says of itself; null where it does not answer.</param>
/// <param name="Problem">Why it does not, as a sentence; null where it does.</param>
public sealed record NodeView(string Name, Node? Node, string? Problem);

/// <summary>A cluster as it was found: all nodes asked side by side.</summary>
public sealed class ClusterView
{
    private ClusterView(IReadOnlyList<NodeView> nodes) => Nodes = nodes;

    /// <summary>The nodes, in the order in which they were given.</summary>
    public IReadOnlyList<NodeView> Nodes { get; }

    /// <summary>Those that answer.</summary>
    public IEnumerable<Node> Answering => Nodes.Select(n => n.Node).OfType<Node>();

    /// <summary>The cluster as <see cref="ClusterRecoveryPlanner"/> takes it.</summary>
    public ClusterState State => new([.. Nodes.Select(From)]);

    /// <summary>As <see cref="ClusterState.SafeLine"/>.</summary>
    public long? SafeLine => State.SafeLine;

    /// <summary>Asks all nodes.</summary>
    /// <param name="nodes">The nodes.</param>
    /// <param name="cancellationToken">Gives up.</param>
    public static async Task<ClusterView> AskAsync(IReadOnlyList<INodeClient> nodes, CancellationToken cancellationToken) =>
        new(await Task.WhenAll(nodes.Select(async node =>
        {
            try
            {
                Node found = await node.GetNodeAsync(cancellationToken).ConfigureAwait(false);
                return found.Name == node.Name
                    ? new NodeView(node.Name, found, null)
                    : new NodeView(node.Name, null, $"a node '{found.Name}' answers in its place");
            }
            catch (StatusException e)
            {
                return new NodeView(node.Name, null, e.Message);
            }
        })).ConfigureAwait(false));

    private static MemberState From(NodeView view) => view.Node is not { } node
        ? new MemberState { Name = view.Name, Problem = view.Problem ?? "it says nothing" }
        : new MemberState
        {
            Name = view.Name,
            DurableIndex = (long)node.DurableSn,
            AwaitsRecovery = node.AwaitsRecovery,
            LostInBegun = node.Recovery is { LostInIt: true },
            Domains = node.Domains,
            Records = new RecoveryRecords(
                (int)node.Incarnation, OrderOf(node.Promise), node.Recovery is { Done: false } ? OrderOf(node.Recovery) : null,
                node.Recovery is { Done: true } ? OrderOf(node.Recovery) : null),
            Settled = node.Recovery?.Settled.ToArray() ?? [],
            Heard = node.Peers.Where(p => p.LastHeard is not null).ToDictionary(p => p.Name, p => (long)p.DurableSn),
        };

    private static RecoveryOrder? OrderOf(RecoveryRecord? record) => record is null
        ? null
        : RecoveryOrder.Of(
            (long)record.Line, (int)record.Incarnation, record.Moves.Select(m => new DomainMove(m.Node, m.To)), record.DestroyNewer);
}
