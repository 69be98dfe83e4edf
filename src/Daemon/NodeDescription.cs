using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Daemon.Recovery;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.NativeInterop.Compression;
using XenTwoLevelCkpt.Protocol.Recovery;
using V1 = XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Daemon;

/// <summary>The node, for an operator.</summary>
internal static class NodeDescription
{
    /// <summary>Describes a node.</summary>
    /// <param name="core">The node.</param>
    /// <param name="runtime">Its parts; null before it has started.</param>
    /// <param name="started">When it was made.</param>
    internal static V1.Node Of(NodeCore core, NodeRuntime? runtime, DateTimeOffset started)
    {
        INodeMessages? messages = runtime?.Channels.Messages;
        var node = new V1.Node
        {
            Name = core.Settings.Node,
            ClusterId = core.Settings.Cluster is { } cluster ? $"{cluster}" : "",

            // Started in between: what is told of a node that is ready is all there.
            State = runtime is null && core.State is (V1.NodeState.Ready or V1.NodeState.Checkpointing) ? V1.NodeState.Starting : core.State,
            Version = Version,
            Hypervisor = core.Hypervisor.Info.Name == "model" ? "model" : $"{core.Hypervisor.Info.Name} {core.Hypervisor.Info.Version}",
            Compression = Lz4.Implementation,
            Started = Google.Protobuf.WellKnownTypes.Timestamp.FromDateTimeOffset(started),
            Protocol = messages is LoneNode ? "bcs" : core.Settings.Protocol,
            Domains = (uint)core.Hypervisor.ListDomains().Count(d => d.Id != 0
                && (d.State & (DomainStates.Paused | DomainStates.Shutdown | DomainStates.Dying)) == DomainStates.None),
        };
        if (messages is not null)
        {
            node.Incarnation = (ulong)messages.Incarnation;
            node.Sn = (ulong)messages.Index;
            node.DurableSn = (ulong)messages.DurableIndex;
            node.AwaitsRecovery = messages.AwaitsRecovery;
            node.Peers.AddRange(messages.Peers.Select(Messages.From));
            if (messages is not LoneNode)
            {
                (long refused, long flooding, long strangers) = messages.Losses;
                node.Losses = new V1.FrameLosses { Refused = (ulong)refused, Flooding = (ulong)flooding, Strangers = (ulong)strangers };
            }
        }

        if (runtime is not null)
        {
            Describe(core, runtime, node);
        }

        return node;
    }

    private static string Version { get; } = typeof(NodeDaemon).Assembly.GetName().Version!.ToString(3);

    // What the node has on disk about recoveries, for whoever leads the next one.
    private static void Describe(NodeCore core, NodeRuntime runtime, V1.Node node)
    {
        NodeRecord state = runtime.File.State;
        if (state.Promised is { } promised)
        {
            node.Promise = RecoveryMessages.From(promised, done: false, []);
        }

        if (state.Pending is { } pending)
        {
            node.Recovery = RecoveryMessages.From(pending.Order, done: false, []);
            node.Recovery.LostInIt = RecoveryChoices.IsLostIn(pending, runtime.Channels.Now);
        }
        else if (state.Last is { } last)
        {
            node.Recovery = RecoveryMessages.From(
                last.Order, done: true, last.Order.Moves.Where(m => IsSettled(runtime, m, last.Order)).Select(m => m.Node));
        }
    }

    // A node without peers has nobody whose checkpoints it would have to wait for.
    private static bool IsSettled(NodeRuntime runtime, DomainMove move, RecoveryOrder order) => runtime.Channels.Messages is LoneNode
        ? runtime.Channels.Messages.DurableIndex > order.Line
        : RecoveryChoices.IsSettled(runtime.File.State, move.Node);
}
