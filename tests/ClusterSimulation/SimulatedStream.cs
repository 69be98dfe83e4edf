using Google.Protobuf;
using XenTwoLevelCkpt.Channels;

namespace XenTwoLevelCkpt.ClusterSimulation;

/// <summary>One end of a stream, at a daemon.</summary>
internal sealed class SimulatedSession(PeerLink link, SimulatedDaemon daemon) : LinkSession(link)
{
    private bool _writing;

    internal SimulatedDaemon Daemon { get; } = daemon;

    /// <summary>The stream, once both ends know it.</summary>
    internal SimulatedStream? Stream { get; set; }

    /// <summary>Messages that have come and are not read.</summary>
    internal Queue<byte[]> Unread { get; } = new();

    internal bool IsCancelled { get; set; }

    internal bool IsReading { get; set; }

    internal override bool IsEnding => IsCancelled;

    internal override void Signal()
    {
        if (!_writing && !IsCancelled)
        {
            _writing = true;
            Daemon.World.After(Daemon.World.Random.Next(300), Write);
        }
    }

    private void Write()
    {
        _writing = false;
        while (!IsCancelled && !Daemon.IsDead && Link.Session == this && Daemon.Core.Next(this) is { } message)
        {
            // The octets are copied: an array of the window is used again once it is acknowledged.
            Stream?.Send(this, message.ToByteArray());
            if (message.Batch is { } batch)
            {
                Written = (long)batch.Sequence;
            }
        }
    }
}

/// <summary>A stream between two daemons: each direction keeps its order, and takes its time.</summary>
internal sealed class SimulatedStream(SimulatedWorld world, SimulatedSession dialler, SimulatedSession server)
{
    private readonly long[] _lastArrival = new long[2];
    private bool _closed;

    /// <summary>Sends from one end; what is sent on a stream that is closed, or over a link that is cut, is lost.</summary>
    internal void Send(SimulatedSession from, byte[] octets)
    {
        SimulatedSession to = from == dialler ? server : dialler;
        int way = from == dialler ? 0 : 1;
        if (_closed)
        {
            return;
        }

        long at = Math.Max(_lastArrival[way], world.Now + world.Delay());
        _lastArrival[way] = at;
        world.After(at - world.Now, () => Arrive(from, to, octets));
    }

    /// <summary>The connection breaks: each end sees it in its own time.</summary>
    internal void Close()
    {
        if (!_closed)
        {
            _closed = true;
            End(dialler);
            End(server);
        }
    }

    private void Arrive(SimulatedSession from, SimulatedSession to, byte[] octets)
    {
        if (_closed || to.IsCancelled || to.Daemon.IsDead)
        {
            return;
        }

        if (from.Daemon.Host.IsCutOff || to.Daemon.Host.IsCutOff)
        {
            Close();
            return;
        }

        to.Unread.Enqueue(octets);
        to.Daemon.ReadSoon(to);
    }

    private void End(SimulatedSession session)
    {
        session.IsCancelled = true;
        world.After(world.Random.Next(world.Random.Next(4) == 0 ? 20_000 : 2_000), () => ChannelCore<AnyProtocol>.Detach(session));
    }
}
