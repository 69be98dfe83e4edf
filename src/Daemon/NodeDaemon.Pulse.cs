using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Daemon.Service;
using V1 = XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Daemon;

/// <content>What the service manager learns of the work.</content>
public sealed partial class NodeDaemon
{
    private readonly WorkPulse _pulse = new();

    // What a start or an end is at; null between them.
    private volatile string? _step = "Starts";

    /// <summary>Signs of life: turns of the loop, steps of a start or an end, and while a checkpoint is written, what has
    /// been written. A restore and a recovery are no business of the loop, which turns beside them.</summary>
    internal WorkSigns Signs => State is V1.NodeState.Checkpointing or V1.NodeState.Stopping && _checkpointer is { } writing
        ? _pulse.Signs with { Signs = _pulse.Signs.Signs + writing.Written }
        : _pulse.Signs;

    /// <summary>What the node is doing, in a line.</summary>
    internal string Doing => _step ?? $"{State}: index {_messages!.Index}, {_store!.Checkpoints.Count} checkpoints"
        + (_messages.AwaitsRecovery ? "; the cluster needs a recovery" : "");

    private void Step(string what)
    {
        _step = what;
        _pulse.Beat();
    }

    private void StillUndoing(string what)
    {
        _pulse.Beat();
        _log.Undone(what);
    }

    // Guests have a limit of their own to suspend themselves in.
    private void Goes(CheckpointStage stage, TimeSpan? suspendTimeout) => _pulse.Quiet(
        stage == CheckpointStage.Suspending ? suspendTimeout ?? _settings.SuspendTimeout : TimeSpan.Zero);
}
