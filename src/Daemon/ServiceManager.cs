using System.Net.Sockets;
using System.Text;

namespace XenTwoLevelCkpt.Daemon;

/// <summary>Tells the service manager how the daemon is: sd_notify(3), a datagram to the socket that NOTIFY_SOCKET names.
/// Without one nothing is told.</summary>
public static class ServiceManager
{
    /// <summary>The daemon serves.</summary>
    /// <param name="status">A line for <c>systemctl status</c>.</param>
    public static void Ready(string status) => Notify($"READY=1\nSTATUS={status}");

    /// <summary>The daemon ends.</summary>
    public static void Stopping() => Notify("STOPPING=1");

    private static void Notify(string text)
    {
        if (Environment.GetEnvironmentVariable("NOTIFY_SOCKET") is not { Length: > 0 } path)
        {
            return;
        }

        try
        {
            // A name that begins with @ is one of the abstract namespace.
            using var socket = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
            _ = socket.SendTo(
                Encoding.UTF8.GetBytes(text), new UnixDomainSocketEndPoint(path[0] == '@' ? $"\0{path[1..]}" : path));
        }
        catch (SocketException)
        {
            // Nobody listens. The service manager finds out by its own time limit; serving goes on.
        }
    }
}
