using System.Net.Sockets;
using XenTwoLevelCkpt.Accounts;

namespace XenTwoLevelCkpt.Daemon;

/// <summary>The Unix domain socket on which the daemon takes orders. Whoever may connect may do anything with the host's guests.
/// </summary>
internal static class ControlSocket
{
    private const UnixFileMode Own = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    /// <summary>Makes the socket's directory, and removes a socket that a daemon left behind that was killed.</summary>
    /// <param name="path">The socket.</param>
    /// <exception cref="SocketInUseException">Another daemon serves on it.</exception>
    internal static void Prepare(string path)
    {
        if (Path.GetDirectoryName(path) is { Length: > 0 } folder && !Directory.Exists(folder))
        {
            _ = Directory.CreateDirectory(folder, Own | UnixFileMode.UserExecute);
        }

        if (!File.Exists(path))
        {
            return;
        }

        using var probe = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            probe.Connect(new UnixDomainSocketEndPoint(path));
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionRefused)
        {
            File.Delete(path);
            return;
        }

        throw new SocketInUseException(path);
    }

    /// <summary>Lets operators in: the daemon's own user, and a group.</summary>
    /// <param name="path">The socket, on which the daemon listens.</param>
    /// <param name="group">The group's name or number; null for none.</param>
    /// <exception cref="IOException">The socket cannot be given to the group.</exception>
    internal static void Open(string path, string? group)
    {
        if (group is null)
        {
            File.SetUnixFileMode(path, Own);
            return;
        }

        // In this order: with the mode first, another group could connect for a moment.
        AccountDatabase.SetOwner(path, user: null, group);
        File.SetUnixFileMode(path, Own | UnixFileMode.GroupRead | UnixFileMode.GroupWrite);

        // A directory that its owner alone may search, as systemd makes it, would keep the group out.
        string folder = Path.GetDirectoryName(path)!;
        UnixFileMode mode = File.GetUnixFileMode(folder);
        const UnixFileMode Others = UnixFileMode.GroupRead | UnixFileMode.GroupWrite | UnixFileMode.GroupExecute
            | UnixFileMode.OtherRead | UnixFileMode.OtherWrite | UnixFileMode.OtherExecute;
        if ((mode & Others) == UnixFileMode.None)
        {
            AccountDatabase.SetOwner(folder, user: null, group);
            File.SetUnixFileMode(folder, mode | UnixFileMode.GroupExecute);
        }
    }
}

/// <summary>Another daemon serves on the control socket.</summary>
public sealed class SocketInUseException : IOException
{
    /// <summary>Creates the exception.</summary>
    /// <param name="path">The socket.</param>
    public SocketInUseException(string path)
        : base($"Another daemon serves on {path}. Stop that one ('fuser {path}' names it), or set another 'controlSocket'.")
    {
    }
}
