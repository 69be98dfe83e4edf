using Microsoft.Extensions.Logging;

namespace XenTwoLevelCkpt.Daemon;

/// <summary>What the daemon logs. Event ids are fixed: 3000 and on; docs/operations.md tells what to do about them.</summary>
internal sealed partial class DaemonLog(ILogger logger)
{
    [LoggerMessage(3000, LogLevel.Information, "Node {Node} starts on {Hypervisor}")]
    internal partial void Starting(string node, string hypervisor);

    [LoggerMessage(3001, LogLevel.Warning, "Left behind by a process that ended: {What}")]
    internal partial void Undone(string what);

    [LoggerMessage(3002, LogLevel.Information, "Serving on {Socket}: index {Index}, incarnation {Incarnation}, {Checkpoints} checkpoints in {Store}")]
    internal partial void Serving(string socket, long index, int incarnation, int checkpoints, string store);

    [LoggerMessage(3003, LogLevel.Information, "Stopping")]
    internal partial void Stopping();

    [LoggerMessage(3004, LogLevel.Information, "Stopped: no domain is suspended by this daemon, and its dirty logs are off")]
    internal partial void Stopped();

    [LoggerMessage(3005, LogLevel.Warning, "{File}, octet {Offset}: {Problem}")]
    internal partial void StoreProblem(string file, long offset, string problem);

    [LoggerMessage(3006, LogLevel.Information, "{Method} asked for by {Caller}")]
    internal partial void Asked(string method, string caller);

    [LoggerMessage(3010, LogLevel.Information, "Checkpoint {Index} ({Cause}) of {Domains} domains, pause {PauseMs:F1} ms, epoch {Epoch}")]
    internal partial void CheckpointTaken(ulong index, Channels.CheckpointCause cause, int domains, double pauseMs, ulong epoch);

    [LoggerMessage(3019, LogLevel.Warning, "Checkpoint {Index} is without domain {Domain} ({Reason}): {Text}")]
    internal partial void LeftOut(ulong index, string domain, string reason, string text);

    [LoggerMessage(3011, LogLevel.Error, "Checkpoint {Index} ({Cause}) did not come about, all domains run on: {Reason}")]
    internal partial void CheckpointFailed(long index, Channels.CheckpointCause cause, string reason);

    [LoggerMessage(3012, LogLevel.Information, "Checkpoint {Index} ({Cause}) was given up before a domain was suspended")]
    internal partial void CheckpointGivenUp(long index, Channels.CheckpointCause cause);

    [LoggerMessage(3013, LogLevel.Warning, "{What}")]
    internal partial void Note(string what);

    [LoggerMessage(3014, LogLevel.Information, "What waits for a checkpoint is asked again in {Delay}")]
    internal partial void RetryLater(TimeSpan delay);

    [LoggerMessage(3015, LogLevel.Warning, "This node has been running before: nothing passes between it and other nodes, and it takes no checkpoints, until 'xtlctl cluster recover' has put it back to checkpoint {Index} or an earlier one")]
    internal partial void AwaitsRecovery(long index);

    [LoggerMessage(3016, LogLevel.Information, "The channels of the process before this one are taken up, at index {Index}")]
    internal partial void TakenUp(long index);

    [LoggerMessage(3017, LogLevel.Warning, "The channels of the process before this one are not taken up: {Reason}")]
    internal partial void NotTakenUp(string reason);

    [LoggerMessage(3018, LogLevel.Error, "The channels cannot be kept for the next process, which will have to wait for a recovery")]
    internal partial void NotParked(Exception e);

    [LoggerMessage(3020, LogLevel.Information, "Domains {Domains} restored from checkpoint {Checkpoint}")]
    internal partial void Restored(string domains, Guid checkpoint);

    [LoggerMessage(3030, LogLevel.Warning, "Recovery to line {Line} begins incarnation {Incarnation}: {Action}")]
    internal partial void Recovering(long line, int incarnation, string action);

    [LoggerMessage(3031, LogLevel.Information, "Recovery to line {Line} is done, incarnation {Incarnation}, index {Index}")]
    internal partial void Recovered(long line, int incarnation, long index);

    [LoggerMessage(3033, LogLevel.Information, "The domains of the lost node {Node} are here in every line that a recovery can go to from now on")]
    internal partial void Settled(string node);

    [LoggerMessage(3034, LogLevel.Information, "Promised a recovery: {Order}; nothing has changed yet")]
    internal partial void Promised(string order);

    [LoggerMessage(3032, LogLevel.Error, "Recovery to line {Line} was interrupted and has to be asked for again: {Reason}")]
    internal partial void RecoveryInterrupted(long line, string reason);

    [LoggerMessage(3040, LogLevel.Critical, "A defect in the daemon")]
    internal partial void Defect(Exception e);
}
