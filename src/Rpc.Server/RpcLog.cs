using Microsoft.Extensions.Logging;

namespace XenTwoLevelCkpt.Rpc.Server;

/// <summary>What the server logs. Event ids are fixed: 2000 and on.</summary>
internal sealed partial class RpcLog(ILogger logger)
{
    [LoggerMessage(2000, LogLevel.Error, "The handler of {Path} failed")]
    internal partial void HandlerFailed(string path, Exception e);

    [LoggerMessage(2001, LogLevel.Warning, "{EndPoint} has its most connections, {Most}; those that come are refused until one ends")]
    internal partial void Full(string endPoint, int most);
}
