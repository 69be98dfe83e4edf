using System.Collections.Concurrent;
using XenTwoLevelCkpt.Protocol.Recovery;
using Xunit;

namespace XenTwoLevelCkpt.Channels.Tests;

/// <summary>A checkpoint as a test keeps it.</summary>
internal sealed record SavedNode(
    long Label, ReadOnlyMemory<byte> State, (long, Dictionary<Guid, long>, Dictionary<Guid, long>)[] Banks)
{
    internal long Reach { get; set; } = Label;
}

/// <summary>A node with banks, a server on loopback and a daemon of few lines: it takes checkpoints when it is told to,
/// some of which fail.</summary>
internal sealed class TestNode : INodeCheckpoints, IAsyncDisposable
{
    // The event of a log that cannot be written: what a node says whose power goes. Where it says so at another time, its
    // peers' batches are never acknowledged, and that shows.
    private const int PowerGone = 3103;

    private readonly TestCluster _cluster;
    private readonly string _folder;
    // Of the guests' thread, and of who takes checkpoints.
    private readonly Random _random;
    private readonly Random _fate;
    private readonly Lock _domains = new();
    private readonly Lock _begins = new();
    private readonly CheckedUplink _checked;
    private MessengerHost? _host;
    private Thread? _guests;
    private long _delivered;
    private volatile bool _stop;
    private volatile bool _failing = true;
    private volatile bool _pending;
    private volatile bool _killed;
    private volatile bool _stopping;
    private Task _checkpoint = Task.CompletedTask;

    internal TestNode(TestCluster cluster, string name, int seed, int banks)
    {
        _cluster = cluster;
        Name = name;
        _folder = Path.Combine(cluster.Folder.FullName, name);
        _ = Directory.CreateDirectory(_folder);
        _random = new Random(seed);
        _fate = new Random(~seed);
        Banks = [.. Enumerable.Range(0, banks).Select(_ => new Bank(NewGuid(_random)))];
        foreach (Bank bank in Banks)
        {
            Uplink.Attach(bank.Id);
        }

        _checked = new CheckedUplink(Uplink, () =>
        {
            _ = Interlocked.Increment(ref _delivered);
            if (_pending)
            {
                Errors.Enqueue($"{Name}: a frame is delivered while a checkpoint is being taken");
            }
        });
        Saved = [new SavedNode(0, default, Capture())];
    }

    internal string Name { get; }

    internal GuestNetworkUplink Uplink { get; } = new();

    internal Bank[] Banks { get; private set; }

    internal CuttingProxy Proxy { get; } = new();

    internal NodeMessenger Messenger { get; private set; } = null!;

    internal List<SavedNode> Saved { get; }

    /// <summary>The place in <see cref="Saved"/> up to which checkpoints outlive the node.</summary>
    internal int Durable { get; private set; }

    internal string TracePath => Path.Combine(_folder, "trace");

    internal ConcurrentQueue<string> Errors { get; } = new();

    /// <summary>Fails with the whole text of whatever went wrong.</summary>
    internal void RequireNoErrors() => Assert.True(Errors.IsEmpty, string.Join('\n', Errors));

    internal int CheckpointsFailed { get; private set; }

    internal long Replayed { get; private set; }

    internal int Restarts { get; private set; }

    /// <summary>How many times something came from another node.</summary>
    internal long Delivered => Interlocked.Read(ref _delivered);

    internal long Money
    {
        get
        {
            lock (_domains)
            {
                return Banks.Sum(bank => bank.Money)
                    + Banks.Sum(bank => Uplink.Local.InFlight(bank.Id).Sum(Bank.MoneyOf));
            }
        }
    }

    internal bool IsQuiet => Uplink.Leaving == 0 && !_pending && Messenger.Peers.All(peer => peer.Unacknowledged == 0);

    internal async Task StartAsync(ReadOnlyMemory<byte>? parked = null)
    {
        Messenger = NodeMessenger.Create(_cluster.Protocol, new NodeMessengerOptions
        {
            Parked = parked,
            Lost = _cluster.Departures,
            Cluster = _cluster.Id,
            Node = Name,
            Peers = [.. _cluster.Members.Where(n => n != this).Select(n => new PeerAddress(n.Name, "127.0.0.1", n.Proxy.Port))],
            LogDirectory = Path.Combine(_folder, "log"),
            TracePath = TracePath,
            WindowBytes = _cluster.WindowBytes,
            WaitingBytes = _cluster.WaitingBytes,
            HeldBytes = _cluster.HeldBytes,
            LogSegmentLength = 512,
            HeartbeatInterval = TimeSpan.FromMilliseconds(20),
            MinBackOff = TimeSpan.FromMilliseconds(5),
            MaxBackOff = TimeSpan.FromMilliseconds(100),
        }, _checked, this, new Collector(Errors, except: PowerGone));
        _host = await MessengerHost.StartAsync(Messenger, new Collector(Errors));
        Proxy.Target = _host.Port;
        _killed = false;
        Messenger.Start();
    }

    internal void RunGuests()
    {
        _stop = false;
        _failing = true;
        _guests = new Thread(() =>
        {
            while (!_stop && Errors.IsEmpty)
            {
                lock (_domains)
                {
                    Step();
                }

                Thread.Sleep(_random.Next(3));
            }
        });
        _guests.Start();
    }

    private void Step()
    {
        foreach (Bank bank in Banks)
        {
            try
            {
                bank.Receive(Uplink);
            }
            catch (Exception e)
            {
                Errors.Enqueue($"{Name}: {e}");
            }

            for (int i = _random.Next(4); i > 0 && Uplink.Leaving < 1000; i--)
            {
                bank.Send(Uplink, _cluster.AnyOther(_random, bank), _random.Next(1, 100));
            }
        }
    }

    internal void StopGuests()
    {
        _stop = true;
        _guests?.Join();
        _guests = null;
        _failing = false;
    }

    internal async Task StopCheckpointsAsync()
    {
        // A node that is told to begin is told so on another thread. Nothing is pending any more a little before the messenger
        // is told that the checkpoint is done.
        do
        {
            await _checkpoint;
            await Task.Delay(1);
        }
        while (_pending);
    }

    /// <inheritdoc/>
    public void Begin(long label, CheckpointCause cause, ForcingMessage? forcedBy)
    {
        lock (_begins)
        {
            if (_stopping)
            {
                return;
            }

            _pending = true;
            _checkpoint = Task.Run(() => TakeAsync(label, cause));
        }
    }

    /// <summary>The node's power goes. Of its log nothing is left but what was synced.</summary>
    internal async Task KillAsync()
    {
        await StopCheckpointsAsync();
        _killed = true;
        Messenger.Log.Syncing = () => throw new IOException("the power is gone");
        await Messenger.DisposeAsync();
        await StopCheckpointsAsync();
        foreach ((string path, long length) in Messenger.Log.Files)
        {
            using FileStream file = File.OpenWrite(path);
            file.SetLength(length);
        }

        await _host!.DisposeAsync();
        Proxy.Target = 0;
        Proxy.Cut();
    }

    /// <summary>The daemon is stopped in good order and started again; guests run on.</summary>
    internal async Task RestartAsync()
    {
        lock (_begins)
        {
            _stopping = true;
        }

        await StopCheckpointsAsync();
        ReadOnlyMemory<byte>? parked = await Messenger.ParkAsync();
        await _host!.DisposeAsync();
        Proxy.Cut();
        Assert.NotNull(parked);
        _stopping = false;
        await StartAsync(parked);
        Assert.False(Messenger.AwaitsRecovery);
        Messenger.DurableIndex = Saved[Durable].Label;
        Restarts++;
    }

    internal NodeStatus Status(bool failed)
    {
        if (failed)
        {
            Saved.RemoveRange(Durable + 1, Saved.Count - Durable - 1);
        }
        else
        {
            Saved[^1].Reach = Messenger.Index;
        }

        return new NodeStatus
        {
            Failed = failed,
            Index = failed ? 0 : Messenger.Index,
            Checkpoints = [.. Saved.Select(s => new StoredCheckpoint(s.Label, s.Reach))],
        };
    }

    internal void RollBack(int member, long line, int incarnation, bool adopts = false)
    {
        SavedNode saved = Saved[member];
        Saved.RemoveRange(member + 1, Saved.Count - member - 1);
        saved.Reach = Math.Max(saved.Label, _cluster.Protocol == "bcs-aftersend" ? line : 0);
        Banks = Banks[..saved.Banks.Length];
        for (int i = 0; i < Banks.Length; i++)
        {
            Banks[i].Restore(saved.Banks[i]);
        }

        Replayed += Messenger.RollBack(saved.State, line, incarnation, _cluster.Departures, adopts);
        Durable = member;
        Messenger.DurableIndex = saved.Label;
    }

    /// <summary>The node's process ends once more in the middle of its recovery, which is begun again.</summary>
    internal async Task RollBackTwiceAsync(int member, long line, int incarnation, bool adopts)
    {
        RollBack(member, line, incarnation, adopts);
        await KillAsync();
        await StartAsync();
        Assert.True(Messenger.AwaitsRecovery);
        RollBack(member, line, incarnation, adopts);
    }

    /// <summary>What is left of a node that was killed.</summary>
    internal void Discard()
    {
        Proxy.Dispose();
        Uplink.Dispose();
    }

    /// <summary>The guests of a node that was killed come here, to a checkpoint of theirs.</summary>
    internal async Task<long> AdoptAsync(IReadOnlyList<TestNode> all, long line)
    {
        // The checkpoint that the recovery asks for is taken without them.
        while (Messenger.AwaitsAdoption && Messenger.Index < line)
        {
            await StopCheckpointsAsync();
        }

        long delivered = Messenger.Adopt([.. all.Select(lost => AdoptionOf(lost, line))], line);
        Messenger.Resume();
        return delivered;
    }

    private Adoption AdoptionOf(TestNode lost, long line)
    {
        int member = RecoveryLine.Member([.. lost.Saved.Select(s => new StoredCheckpoint(s.Label, s.Reach))], line);
        SavedNode saved = lost.Saved[member];

        // What it had behind this line is undone, whoever brings its guests up once more.
        lost.Saved.RemoveRange(member + 1, lost.Saved.Count - member - 1);
        lost.Durable = member;
        saved.Reach = line;
        for (int i = 0; i < lost.Banks.Length; i++)
        {
            lost.Banks[i].Restore(saved.Banks[i]);
        }

        Banks = [.. Banks, .. lost.Banks];
        return new Adoption(lost.Name, saved.State, Path.Combine(lost._folder, "log"), [.. lost.Banks.Select(bank => bank.Id)]);
    }

    public async ValueTask DisposeAsync()
    {
        StopGuests();
        lock (_begins)
        {
            _stopping = true;
        }

        await StopCheckpointsAsync();
        await Messenger.DisposeAsync();
        await _host!.DisposeAsync();
        Proxy.Dispose();
        Uplink.Dispose();
    }

    private static Guid NewGuid(Random random)
    {
        byte[] octets = new byte[16];
        random.NextBytes(octets);
        return new Guid(octets);
    }

    private (long, Dictionary<Guid, long>, Dictionary<Guid, long>)[] Capture() =>
        Array.ConvertAll(Banks, bank => bank.Capture());

    private async Task TakeAsync(long label, CheckpointCause cause)
    {
        try
        {
            // Guests of a node that has survived send before its checkpoint of the line is taken.
            await Task.Delay(_fate.Next(cause == CheckpointCause.Recovery ? 40 : 4));
            (long, Dictionary<Guid, long>, Dictionary<Guid, long>)[] banks;
            lock (_domains)
            {
                Messenger.Suspended();
                banks = Capture();
            }

            ReadOnlyMemory<byte> state = Messenger.TakeState();
            await Task.Delay(_fate.Next(4));
            if (_failing && _fate.Next(4) == 0)
            {
                CheckpointsFailed++;
                _pending = false;
                Messenger.CheckpointFailed();
                _ = Task.Run(async () =>
                {
                    await Task.Delay(5);
                    Messenger.Retry();
                });
                return;
            }

            Saved[^1].Reach = Messenger.Index;
            Saved.Add(new SavedNode(label, state, banks));
            _pending = false;
            Durable = Math.Max(Durable, Saved.Count - 1 - _fate.Next(4));
            Messenger.DurableIndex = Saved[Durable].Label;
            Messenger.CheckpointDone();
        }
        catch (InvalidOperationException) when (_killed)
        {
            // The node is gone.
            _pending = false;
        }
        catch (Exception e)
        {
            Errors.Enqueue($"{Name}: {e}");
            _pending = false;
        }
    }

    /// <summary>Holds against the messenger that it delivers something while a checkpoint is being taken.</summary>
    private sealed class CheckedUplink(GuestNetworkUplink uplink, Action delivering) : IUplink
    {
        public int HeaderSize => uplink.HeaderSize;

        public bool MayLose => uplink.MayLose;

        public long Dropped => uplink.Dropped;

        public bool Wait(TimeSpan timeout) => uplink.Wait(timeout);

        public void Wake() => uplink.Wake();

        public int Read(Span<byte> frame) => uplink.Read(frame);

        public void Write(ReadOnlySpan<byte> frame, Audience? audience = null)
        {
            delivering();
            uplink.Write(frame, audience);
        }

        public void Admit(IReadOnlyCollection<Guid> guests, ReadOnlySpan<byte> saved) => uplink.Admit(guests, saved);

        public void Join(IReadOnlyCollection<Guid> guests) => uplink.Join(guests);

        public byte[] Save() => uplink.Save();

        public void Restore(ReadOnlySpan<byte> saved) => uplink.Restore(saved);

        public void Dispose() => uplink.Dispose();
    }
}
