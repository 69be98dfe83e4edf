using Microsoft.Extensions.Logging;

namespace XenTwoLevelCkpt.Channels;

/// <summary>What the messages between nodes log. Event ids are fixed: 3100 and on.</summary>
internal sealed partial class ChannelEventLog(ILogger logger)
{
    [LoggerMessage(3100, LogLevel.Information, "The channel to {Peer} is open, in incarnation {Incarnation}")]
    internal partial void Opened(string peer, int incarnation);

    [LoggerMessage(3101, LogLevel.Information, "The channel to {Peer} is closed: {Reason}")]
    internal partial void Closed(string peer, string reason);

    [LoggerMessage(3102, LogLevel.Warning, "A stream of {Peer} is refused: {Reason}")]
    internal partial void Refused(string peer, string reason);

    [LoggerMessage(3103, LogLevel.Error, "The channel log cannot be written; nothing that crosses a line is acknowledged any more")]
    internal partial void LogFailed(Exception e);

    [LoggerMessage(3104, LogLevel.Warning, "This node has been running before, and takes part again only after a recovery")]
    internal partial void AwaitsRecovery();

    [LoggerMessage(3105, LogLevel.Error, "The uplink is broken; no frames are carried")]
    internal partial void UplinkFailed(Exception e);

    [LoggerMessage(3106, LogLevel.Warning, "The trace ends here: {Reason}")]
    internal partial void TraceEnds(string reason);

    [LoggerMessage(3107, LogLevel.Warning, "Batches of {Peer} in the channel log are left out: {Reason}")]
    internal partial void NotReplayed(string peer, string reason);

    [LoggerMessage(3109, LogLevel.Error, "A stream to {Peer} failed")]
    internal partial void Failed(string peer, Exception e);

    [LoggerMessage(3108, LogLevel.Warning, "The link to {Peer}: {Problem}")]
    internal partial void InTrouble(string peer, string problem);

    [LoggerMessage(3110, LogLevel.Warning, "The channels of the process before this one are not taken up: {Reason}")]
    internal partial void NotTakenUp(string reason);
}
