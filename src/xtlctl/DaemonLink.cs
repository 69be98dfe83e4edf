using System.CommandLine;
using System.Net.Sockets;
using XenTwoLevelCkpt.Checkpointing.Settings;
using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Control;

/// <summary>The way to this host's daemon.</summary>
/// <remarks>Where a daemon has its socket, commands are its; the same commands work without a daemon, on store and domains
/// themselves. A command that names another store or state directory is not meant for the daemon.</remarks>
internal sealed class DaemonLink
{
    private readonly Option<string?> _socket = new("--socket")
    {
        Description = $"The daemon's socket; {HostPaths.ControlSocket} where it is left out and a daemon runs.",
        HelpName = "PATH",
        Recursive = true,
    };

    private readonly Option<bool> _direct = new("--direct")
    {
        Description = "Work on the store and the domains themselves, not through the daemon.",
        Recursive = true,
    };

    private Option[] _places = [];

    /// <summary>Adds the options.</summary>
    /// <param name="root">The command line.</param>
    /// <param name="places">The options that say where the host keeps things.</param>
    internal void AddTo(RootCommand root, params Option[] places)
    {
        root.Options.Add(_socket);
        root.Options.Add(_direct);
        _places = places;
        _socket.Validators.Add(r =>
        {
            if (r.GetResult(_direct) is { Implicit: false })
            {
                r.AddError("'--socket' names a daemon, and '--direct' works without one.");
            }
        });
    }

    /// <summary>Opens the way to the daemon that a command is for.</summary>
    /// <param name="r">The command line.</param>
    /// <param name="reads">True for a command that only reads: it needs no daemon where the one that was there is gone.</param>
    /// <returns>The way, or null where the command is to be done without a daemon.</returns>
    internal DaemonClient? Open(ParseResult r, bool reads)
    {
        string? named = r.GetValue(_socket);
        string path = named ?? HostPaths.ControlSocket;
        if (r.GetValue(_direct)
            || (named is null && (!File.Exists(path) || _places.Any(p => r.GetResult(p) is { Implicit: false }))))
        {
            return null;
        }

        return reads && named is null && !Answers(path) ? null : new DaemonClient(path);
    }

    /// <summary>Opens the way to the daemon, for what only a daemon can do.</summary>
    /// <param name="r">The command line.</param>
    internal DaemonClient Require(ParseResult r) => new(r.GetValue(_socket) ?? HostPaths.ControlSocket);

    private static bool Answers(string path)
    {
        using var probe = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            probe.Connect(new UnixDomainSocketEndPoint(path));
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}

/// <summary>An open way to a daemon.</summary>
/// <param name="path">Its socket.</param>
internal sealed class DaemonClient(string path) : IDisposable
{
    private readonly RpcChannel _channel = RpcChannel.ForUnixSocket(Path.GetFullPath(path));

    /// <summary>The socket.</summary>
    internal string Socket => path;

    /// <summary>The methods.</summary>
    internal NodeControl.NodeControlClient Node => new(_channel.Invoker);

    /// <inheritdoc/>
    public void Dispose() => _channel.Dispose();
}
