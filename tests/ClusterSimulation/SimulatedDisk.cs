using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Daemon;
using XenTwoLevelCkpt.Daemon.Recovery;
using XenTwoLevelCkpt.Images.Store;

namespace XenTwoLevelCkpt.ClusterSimulation;

/// <summary>A checkpoint in a store.</summary>
/// <param name="Epoch">Its number in the store.</param>
/// <param name="Index">Its label.</param>
/// <param name="Before">What it follows; null where that need not be said.</param>
/// <param name="Channels">The node's channels, encoded.</param>
/// <param name="Domains">The domains' memory: by UUID.</param>
internal sealed record SimulatedCheckpoint(
    ulong Epoch, long Index, CheckpointPredecessor? Before, byte[] Channels, IReadOnlyDictionary<Guid, Account> Domains)
{
    /// <summary>Where checkpoints are in the node's history.</summary>
    internal static IReadOnlyList<CheckpointPoint> PointsOf(IEnumerable<SimulatedCheckpoint> checkpoints) =>
        RecoveryChoices.PointsOf([.. checkpoints.Select(c => (c.Epoch, (ulong)c.Index, c.Before))]);
}

/// <summary>A node's past by its simulated store.</summary>
internal sealed class SimulatedPast(string node, SimulatedDisk disk, IReadOnlyList<SimulatedCheckpoint> standing) : INodePast
{
    public string Node => node;

    public int Incarnation => disk.Log.Incarnation;

    public IReadOnlyList<CheckpointPoint> Points { get; } = SimulatedCheckpoint.PointsOf(standing);

    public IReadOnlyList<Guid> DomainsOf(ulong epoch) => [.. Find(epoch).Domains.Keys];

    public IReadOnlyList<string> LostIn(ulong epoch) => NodeMessenger.LostIn(Find(epoch).Channels);

    private SimulatedCheckpoint Find(ulong epoch) => standing.First(c => c.Epoch == epoch);
}

/// <summary>What a host has on its disks, and keeps when it dies.</summary>
internal sealed class SimulatedDisk
{
    private readonly Dictionary<string, MemoryStream> _traces = new(StringComparer.Ordinal);

    /// <summary>node.json.</summary>
    internal NodeRecord Record { get; set; } = new();

    /// <summary>The channels that a process parked; null for none.</summary>
    internal byte[]? Parked { get; set; }

    /// <summary>The store, oldest first.</summary>
    internal List<SimulatedCheckpoint> Store { get; } = [];

    /// <summary>The epoch of the last checkpoint in the store; 0 for none.</summary>
    internal ulong LastStored => Store is [.., SimulatedCheckpoint last] ? last.Epoch : 0;

    internal SimulatedLog Log { get; } = new();

    /// <summary>The traces by suffix.</summary>
    internal IReadOnlyDictionary<string, MemoryStream> Traces => _traces;

    /// <summary>A checkpoint is in the store.</summary>
    internal void Save(long index, CheckpointPredecessor? before, byte[] channels, IReadOnlyDictionary<Guid, Account> domains) =>
        Store.Add(new SimulatedCheckpoint(LastStored + 1, index, before, channels, domains));

    /// <summary>A trace's octets. What was written to it outlives the process.</summary>
    internal Stream OpenTrace(string suffix)
    {
        if (!_traces.TryGetValue(suffix, out MemoryStream? octets))
        {
            _traces[suffix] = octets = new Undisposed();
        }

        octets.Position = 0;
        return octets;
    }

    private sealed class Undisposed : MemoryStream
    {
        public override void Close()
        {
            // The octets are a file's: they stay.
        }
    }
}

/// <summary>A channel log. What is appended reaches the disk later, or never.</summary>
internal sealed class SimulatedLog : IChannelLog
{
    // A segment goes as a whole.
    private const int Segment = 8;

    private readonly List<Record> _disk = [];
    private readonly Queue<Record> _appended = new();
    private long _number;

    // Each segment's head says the incarnation that it begins in.
    private int _atHead;

    public bool WasUsed => _disk.Count > 0;

    public int Incarnation { get; private set; }

    public long Committed { get; private set; }

    public Exception? Failure => null;

    internal bool IsDirty => _appended.Count > 0;

    public long Append(in LoggedBatch entry) => Add(new Record(entry with { Frames = entry.Frames.ToArray() }, 0, 0, 0, false));

    public long Begin(int incarnation)
    {
        Incarnation = incarnation;
        return Add(new Record(null, incarnation, 0, 0, false));
    }

    public long RollBack(int incarnation, long member, long line)
    {
        Incarnation = incarnation;
        return Add(new Record(null, incarnation, member, line, true));
    }

    public void Commit() => Write(_appended.Count);

    public IEnumerable<LoggedBatch> Replay(long line, long member)
    {
        Commit();
        return Batches(line, member);
    }

    public IEnumerable<LoggedBatch> ReplayLost(string directory, long line, long member) =>
        Logs!(directory).Batches(line, member);

    /// <summary>Finds the log of a lost node.</summary>
    internal Func<string, SimulatedLog>? Logs { get; set; }

    /// <summary>The oldest records reach the disk.</summary>
    internal void Write(int records)
    {
        for (int i = 0; i < records; i++)
        {
            _disk.Add(_appended.Dequeue());
            Committed++;
        }
    }

    /// <summary>The process, or the host, ends: what was not synced may be there in part, from its beginning, or not at all.</summary>
    internal void Crash(Random random)
    {
        Write(random.Next(_appended.Count + 1));
        _appended.Clear();
        Committed = _number = 0;
        Incarnation = LastOf(_disk);
    }

    /// <summary>Removes segments in which everything is garbage.</summary>
    internal void Collect(long member)
    {
        while (_disk.Count > 2 * Segment
            && _disk.Take(Segment).All(r => r.Batch is { } batch ? batch.DeliveredAfter < member : !r.RollsBack))
        {
            _atHead = LastOf(_disk.Take(Segment));
            _disk.RemoveRange(0, Segment);
        }
    }

    private int LastOf(IEnumerable<Record> records) =>
        records.Where(r => r.Batch is null).Select(r => r.Incarnation).DefaultIfEmpty(_atHead).Last();

    private IEnumerable<LoggedBatch> Batches(long line, long member)
    {
        var history = new LogHistory<int>();
        foreach (Record record in _disk)
        {
            if (record.Batch is { } batch)
            {
                history.Add(batch, 0);
            }
            else if (record.RollsBack)
            {
                history.RollBack(record.Member, record.Line);
            }
        }

        return [.. history.Replay(line, member).Select(kept => kept.Batch)];
    }

    private long Add(Record record)
    {
        _appended.Enqueue(record);
        return ++_number;
    }

    private sealed record Record(LoggedBatch? Batch, int Incarnation, long Member, long Line, bool RollsBack);
}
