using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Tmds.Linux;

namespace XenTwoLevelCkpt.NativeInterop.Network;

/// <summary>Who connected to a Unix socket, or listened on it when this side connected (SO_PEERCRED, unix(7)).</summary>
/// <param name="ProcessId">The process, which may have ended since; 0 where it is in another pid namespace.</param>
/// <param name="User">Its effective user's id then.</param>
/// <param name="Group">Its effective group's id then.</param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct PeerCredentials(int ProcessId, uint User, uint Group)
{
    /// <summary>Asks the kernel.</summary>
    /// <param name="socket">A connected Unix stream socket.</param>
    /// <exception cref="ArgumentException">It is a socket of another kind.</exception>
    /// <exception cref="SocketException">The kernel does not tell.</exception>
    public static PeerCredentials Of(Socket socket)
    {
        ArgumentNullException.ThrowIfNull(socket);
        if (socket.AddressFamily != AddressFamily.Unix)
        {
            throw new ArgumentException("Only Unix sockets tell of their peers.", nameof(socket));
        }

        Span<byte> credentials = stackalloc byte[Unsafe.SizeOf<ucred>()];
        _ = socket.GetRawSocketOption(LibC.SOL_SOCKET, LibC.SO_PEERCRED, credentials);
        ucred peer = MemoryMarshal.Read<ucred>(credentials);
        return new PeerCredentials(peer.pid, peer.uid, peer.gid);
    }
}
