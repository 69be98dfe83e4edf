using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Checkpointing.Node.Selection;
using XenTwoLevelCkpt.Daemon.Recovery;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;

namespace XenTwoLevelCkpt.Daemon.Checkpoints;

/// <summary>What takes the node's checkpoints and what tidies its store: closed while its domains go back, open otherwise.</summary>
internal sealed class NodeCheckpointing(
    NodeCore core, DirectoryStore store, NodeStateFile file, DomainPolicies policies, NodeChannels channels)
{
    private volatile Opened? _opened;

    /// <summary>Takes checkpoints.</summary>
    /// <exception cref="InvalidOperationException">It is closed.</exception>
    internal NodeCheckpointer Checkpointer => Now.Checkpointer;

    /// <summary>Tidies the store.</summary>
    /// <exception cref="InvalidOperationException">It is closed.</exception>
    internal Tidying Tidying => Now.Tidying;

    /// <summary>Stops what is tidied.</summary>
    /// <exception cref="InvalidOperationException">It is closed.</exception>
    internal CancellationToken TidyingStopped => Now.Stop.Token;

    /// <summary>Octets that checkpoints have written since this was opened; 0 while it is closed.</summary>
    internal long Written => _opened?.Checkpointer.Written ?? 0;

    /// <summary>How the last attempt of a checkpoint found the domains, by UUID.</summary>
    internal IReadOnlyDictionary<Guid, DomainCoverage> Coverage =>
        _opened?.Checkpointer.Coverage ?? new Dictionary<Guid, DomainCoverage>();

    /// <summary>Begins to follow domains' dirty pages and to tidy, where that is closed.</summary>
    internal void Open()
    {
        if (_opened is not null)
        {
            return;
        }

        var stop = new CancellationTokenSource();
        var checkpointer = new NodeCheckpointer(
            core.Hypervisor, store, core.Platform.Disks(store),
            core.Settings.ForCheckpoints(policies.Of, d => core.Platform.ReachesPeers(d, core.Settings)), new ChannelState(channels))
        {
            Log = core.Log.Note,
        };
        _opened = new Opened(
            checkpointer, new Tidying(store, core.Settings.Retention, core.Log.Note, stop.Token, IsNeeded), stop);
        checkpointer.Start();
    }

    /// <summary>Ends both, where they are open.</summary>
    internal async Task CloseAsync()
    {
        if (_opened is not { } opened)
        {
            return;
        }

        await opened.Stop.CancelAsync().ConfigureAwait(false);
        await opened.Tidying.FinishAsync().ConfigureAwait(false);
        await opened.Checkpointer.DisposeAsync().ConfigureAwait(false);
        _opened = null;
        opened.Stop.Dispose();
    }

    /// <summary>True where a recovery that may still come needs a checkpoint.</summary>
    /// <param name="manifest">The checkpoint.</param>
    /// <param name="line">The least line that recoveries go back to by themselves.</param>
    internal bool IsNeeded(CheckpointManifest manifest, long line)
    {
        IReadOnlyList<CheckpointPoint> standing = StoreHistory.PointsOf(store.Standing(file.State));
        return RecoveryChoices.IsNeeded(
            standing, standing.FirstOrDefault(p => p.Epoch == manifest.Epoch) ?? new(manifest.Epoch, (long)manifest.Closing.Index),
            Math.Min(line, RecoveryChoices.LeastLine(file.State, channels.Messages.Peers, channels.Messages.DurableIndex)));
    }

    private Opened Now => _opened ?? throw new InvalidOperationException("No checkpoints are taken while domains go back.");

    private bool IsNeeded(CheckpointManifest manifest) => IsNeeded(manifest, long.MaxValue);

    private sealed record Opened(NodeCheckpointer Checkpointer, Tidying Tidying, CancellationTokenSource Stop);

    /// <summary>The node's channel state, as its checkpoints see it.</summary>
    private sealed class ChannelState(NodeChannels channels) : IChannelState
    {
        public void Suspended() => channels.Messages.Suspended();

        public ReadOnlyMemory<byte> TakeNodeState() => channels.Messages.TakeState();

        public void Capture(Guid domain)
        {
            // All of it is the node's.
        }

        public void Write(Guid domain, ImageWriter writer)
        {
            // All of it is the node's.
        }
    }
}
