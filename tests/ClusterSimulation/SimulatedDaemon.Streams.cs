using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.ClusterSimulation;

/// <content>Streams to other daemons.</content>
internal sealed partial class SimulatedDaemon
{
    /// <summary>What has come on a stream is read, one message after the other.</summary>
    internal void ReadSoon(SimulatedSession session)
    {
        if (!session.IsReading && session.Unread.Count > 0)
        {
            session.IsReading = true;
            Later(World.Random.Next(200), () =>
            {
                session.IsReading = false;
                Read(session);
            });
        }
    }

    // A message that was read when the stream was ended is still taken, as a thread that waits for the lock would.
    private void Read(SimulatedSession session)
    {
        if (session.Link.Session != session || Core.Rests(session) || !session.Unread.TryDequeue(out byte[]? octets))
        {
            return;
        }

        try
        {
            ChannelMessage message = ChannelMessage.Parser.ParseFrom(octets);
            ChannelCore<AnyProtocol>.RequireSense(message, session.Incarnation, Host.Uplink.HeaderSize);
            Core.Take(session, message);
            if (Disk.Log.IsDirty)
            {
                SyncSoon();
            }

            if (!session.IsCancelled)
            {
                ReadSoon(session);
            }
        }
        catch (StatusException e)
        {
            World.Note($"{Host.Name}: a stream of {session.Link.Name} ends: {e.Message}");
            session.Stream!.Close();
        }
        catch (OperationCanceledException)
        {
            session.Stream!.Close();
        }
    }

    private void EndIncarnation()
    {
        foreach (SimulatedSession session in _sessions.ToArray())
        {
            session.Stream?.Close();
        }
    }

    private void Dial()
    {
        _ = _sessions.RemoveAll(session => session.Link.Session != session);
        if (Core.Phase == MessengerPhase.Running)
        {
            foreach (PeerLink link in Core.Topology.All)
            {
                string mine = link.End?.Name ?? Host.Name;
                if (string.CompareOrdinal(mine, link.Name) < 0 && link.Name != Host.Name && link.Session is null
                    && _dialling.Add(link))
                {
                    Dial(link);
                }
            }
        }

        Later(10_000 + World.Random.Next(20_000), Dial);
    }

    private void Dial(PeerLink link)
    {
        string where = Topology.Where(link);
        if (link.IsRetired || where == Host.Name || World.Find(where) is not { } target)
        {
            _ = _dialling.Remove(link);
            return;
        }

        ChannelCore<AnyProtocol> core = Core;
        Hello mine = core.MyHello(link).Hello;
        World.After(World.Delay(), () =>
        {
            SimulatedSession? server = Host.IsCutOff || target.IsCutOff ? null : target.Daemon?.Answer(mine);
            if (server is null)
            {
                _ = _dialling.Remove(link);
                return;
            }

            Hello theirs = server.Daemon.Core.MyHello(server.Link).Hello;
            var dialler = new SimulatedSession(link, this);
            dialler.Stream = server.Stream = new SimulatedStream(World, dialler, server);
            World.After(World.Delay(), () => Opened(core, link, theirs, dialler, server));
        });
    }

    private void Opened(ChannelCore<AnyProtocol> core, PeerLink link, Hello theirs, SimulatedSession dialler, SimulatedSession server)
    {
        _ = _dialling.Remove(link);
        if (IsDead || core != Core || server.IsCancelled)
        {
            dialler.Stream!.Close();
            return;
        }

        try
        {
            Core.Attach(dialler, theirs);
            _sessions.Add(dialler);
            ReadSoon(dialler);
        }
        catch (StatusException e)
        {
            World.Note($"{Host.Name}: no stream to {link.Name}: {e.Message}");
            dialler.Stream!.Close();
        }
    }

    // Another daemon opens a stream; null where it is refused.
    private SimulatedSession? Answer(Hello hello)
    {
        if (IsDead || Core is null || Core.Phase != MessengerPhase.Running || Core.Incarnation < (int)hello.Incarnation)
        {
            return null;
        }

        try
        {
            PeerLink link = Core.LinkFor(hello);
            if (Core.ToReplace(link) is SimulatedSession old)
            {
                // It comes again when that one has ended.
                old.Stream!.Close();
                return null;
            }

            var session = new SimulatedSession(link, this);
            Core.Attach(session, hello);
            _sessions.Add(session);
            return session;
        }
        catch (StatusException e)
        {
            World.Note($"{Host.Name}: a stream of {hello.Node} is refused: {e.Message}");
            return null;
        }
    }
}
