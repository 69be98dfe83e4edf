using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Daemon.Checkpoints;
using XenTwoLevelCkpt.Daemon.Recovery;
using XenTwoLevelCkpt.Images.Store;

namespace XenTwoLevelCkpt.Daemon;

/// <summary>The parts of a node that has started.</summary>
internal sealed class NodeRuntime
{
    private readonly NodeCore _core;
    private readonly IDisposable _guardian;

    private NodeRuntime(
        NodeCore core, IDisposable guardian, DirectoryStore store, NodeStateFile file, DomainPolicies policies, CheckpointQueue queue,
        NodeChannels channels)
    {
        _core = core;
        _guardian = guardian;
        Store = store;
        File = file;
        Queue = queue;
        Channels = channels;
        Policies = policies;
        Checkpointing = new NodeCheckpointing(core, store, file, Policies, channels);
        Taker = new CheckpointTaker(core, queue, channels, Checkpointing);
        Loop = new CheckpointLoop(core, queue, file, channels, Taker);
        Planner = new NodeRecoveryPlanner(core, store, file, Policies, channels);
        Recoveries = new NodeRecoveries(core, this);
        Restores = new NodeRestores(core, store, file, queue);
    }

    internal DirectoryStore Store { get; }

    internal NodeStateFile File { get; }

    internal DomainPolicies Policies { get; }

    internal CheckpointQueue Queue { get; }

    internal NodeChannels Channels { get; }

    internal NodeCheckpointing Checkpointing { get; }

    internal CheckpointTaker Taker { get; }

    internal CheckpointLoop Loop { get; }

    internal NodeRecoveryPlanner Planner { get; }

    internal NodeRecoveries Recoveries { get; }

    internal NodeRestores Restores { get; }

    /// <summary>Reads the node's state, ends what a recovery left to do, and makes the parts. What was opened is closed where that
    /// fails.</summary>
    /// <param name="core">The node.</param>
    /// <param name="make">Makes the node's messages.</param>
    internal static async Task<NodeRuntime> StartAsync(NodeCore core, Func<NodeOrigin, INodeMessages> make)
    {
        var opened = new Stack<object>();
        try
        {
            return await StartAsync(core, make, opened).ConfigureAwait(false);
        }
        catch
        {
            foreach (object one in opened)
            {
                await CloseAsync(one).ConfigureAwait(false);
            }

            throw;
        }
    }

    /// <summary>Ends all parts, in good order. Nothing may be under way.</summary>
    internal async Task StopAsync()
    {
        _core.Begin("Keeps the channels");
        await Channels.ParkAsync().ConfigureAwait(false);
        Channels.CloseUplink();
        _core.Begin("Lets the guests go");
        await Checkpointing.CloseAsync().ConfigureAwait(false);
        _guardian.Dispose();
        Store.Dispose();
    }

    private static async Task<NodeRuntime> StartAsync(NodeCore core, Func<NodeOrigin, INodeMessages> make, Stack<object> opened)
    {
        IDisposable guardian = core.Platform.StartGuardian(core.Settings.State) ?? new NoGuardian();
        opened.Push(guardian);
        core.Begin("Reads the store");
        DirectoryStore store = DirectoryStore.Open(core.Settings.Store, core.Pulse.Beat);
        opened.Push(store);
        foreach (var problem in store.Problems)
        {
            core.Log.StoreProblem(problem.File, problem.Offset, problem.Problem);
        }

        NodeStateFile file = NodeStateFile.Open(core.Settings.State);
        core.IsPending = () => file.State.Pending is not null;
        var policies = new DomainPolicies(core.Settings.State, core.Settings.Domains);
        core.Begin("Finishes a recovery");
        if (file.State.Pending is { } pending)
        {
            core.Log.RecoveryInterrupted(pending.Order.Line, "the daemon ended in the middle");
        }

        var rest = new RestCarrier(core, store, file);
        RecoveryExecution step = RecoveryExecution.AfterRestart(file.State);
        while (rest.TryCarry(step.Effect) is { } outcome)
        {
            step = step.After(outcome)!;
        }

        // The step that makes the messages; those behind it need all parts.
        core.Begin("Opens the channels and the guests");
        var queue = new CheckpointQueue(core, file);
        opened.Push(queue);
        var channels = new NodeChannels(core, store, file, queue, make);
        opened.Push(channels);
        var node = new NodeRuntime(core, guardian, store, file, policies, queue, channels);
        opened.Push(node.Checkpointing);
        using (var carrier = new RecoveryCarrier(core, node, null))
        {
            await carrier.CarryAsync(step.After(EffectOutcome.Done.Value)!).ConfigureAwait(false);
        }

        queue.SetTimer(soon: false);
        return node;
    }

    private static async Task CloseAsync(object one)
    {
        switch (one)
        {
            case NodeCheckpointing checkpointing:
                await checkpointing.CloseAsync().ConfigureAwait(false);
                break;
            case IAsyncDisposable part:
                await part.DisposeAsync().ConfigureAwait(false);
                break;
            case IDisposable part:
                part.Dispose();
                break;
        }
    }

    /// <summary>Domains end with this process anyway.</summary>
    private sealed class NoGuardian : IDisposable
    {
        public void Dispose()
        {
        }
    }
}
