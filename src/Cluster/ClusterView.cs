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

    /// <summary>The greatest line that no failure takes the cluster back behind: the least durable index over all nodes, for
    /// one that does not answer the greatest that another node has heard of it. Null where that is not known.</summary>
    public long? SafeLine
    {
        get
        {
            var durable = new List<long>();
            foreach (NodeView node in Nodes)
            {
                if (DurableIndex(node.Name) is not { } index)
                {
                    return null;
                }

                durable.Add(index);
            }

            return Garbage.SafeLine(durable);
        }
    }

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

    /// <summary>The durable index of a node, by its own word or by the latest that another one has heard.</summary>
    /// <param name="name">The node.</param>
    /// <returns>Null where nobody knows.</returns>
    public long? DurableIndex(string name)
    {
        if (Nodes.FirstOrDefault(n => n.Name == name)?.Node is { } node)
        {
            return (long)node.DurableSn;
        }

        Peer[] heard = [.. Answering.SelectMany(n => n.Peers).Where(p => p.Name == name && p.LastHeard is not null)];
        return heard.Length > 0 ? (long)heard.Max(p => p.DurableSn) : null;
    }
}
