using Microsoft.AspNetCore.Connections;

namespace XenTwoLevelCkpt.Rpc.Server;

/// <summary>Bounds the connections of one listener. Kestrel's own limit is for all listeners together: whoever reaches the
/// channel's port could shut operators out.</summary>
internal sealed class ConnectionLimit(string endPoint, int most, RpcLog log)
{
    private int _open;
    private int _told;

    /// <summary>Passes a connection on, or ends it at once.</summary>
    internal ConnectionDelegate Admit(ConnectionDelegate next) => async connection =>
    {
        try
        {
            if (Interlocked.Increment(ref _open) <= most)
            {
                await next(connection).ConfigureAwait(false);
            }
            else if (Interlocked.Exchange(ref _told, 1) == 0)
            {
                log.Full(endPoint, most);
            }
        }
        finally
        {
            if (Interlocked.Decrement(ref _open) < most)
            {
                Volatile.Write(ref _told, 0);
            }
        }
    };
}
