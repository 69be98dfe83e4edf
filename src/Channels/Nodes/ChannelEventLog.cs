using Microsoft.Extensions.Logging;

namespace XenTwoLevelCkpt.Channels;

/// <summary>What the messages between nodes log. Event ids are fixed: 3000 and on.</summary>
internal sealed partial class ChannelEventLog(ILogger logger)
{
    [LoggerMessage(3000, LogLevel.Information, "The channel to {Peer} is open, in incarnation {Incarnation}")]
    internal partial void Opened(string peer, int incarnation);

    [LoggerMessage(3001, LogLevel.Information, "The channel to {Peer} is closed: {Reason}")]
    internal partial void Closed(string peer, string reason);

    [LoggerMessage(3002, LogLevel.Warning, "A stream of {Peer} is refused: {Reason}")]
    internal partial void Refused(string peer, string reason);

    [LoggerMessage(3003, LogLevel.Error, "The channel log cannot be written; nothing that crosses a line is acknowledged any more")]
    internal partial void LogFailed(Exception e);

    [LoggerMessage(3004, LogLevel.Warning, "This node has been running before, and takes part again only after a recovery")]
    internal partial void AwaitsRecovery();

    [LoggerMessage(3005, LogLevel.Error, "The uplink is broken; no frames are carried")]
    internal partial void UplinkFailed(Exception e);

    [LoggerMessage(3006, LogLevel.Warning, "The trace ends here: {Reason}")]
    internal partial void TraceEnds(string reason);

    [LoggerMessage(3007, LogLevel.Warning, "Batches of {Peer} in the channel log are left out: {Reason}")]
    internal partial void NotReplayed(string peer, string reason);

    [LoggerMessage(3009, LogLevel.Error, "A stream to {Peer} failed")]
    internal partial void Failed(string peer, Exception e);

    [LoggerMessage(3008, LogLevel.Warning, "The link to {Peer}: {Problem}")]
    internal partial void InTrouble(string peer, string problem);
}
