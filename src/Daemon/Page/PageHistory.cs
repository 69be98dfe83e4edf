using System.Security.Cryptography;

namespace XenTwoLevelCkpt.Daemon.Page;

/// <summary>The marks of one run of the daemon, of which the last ones are kept, and how things are now. Viewers read from it at
/// their own pace; none has a queue. Thread-safe.</summary>
/// <param name="capacity">How many marks are kept.</param>
internal sealed class PageHistory(int capacity = PageHistory.DefaultCapacity)
{
    /// <summary>Most of an hour of a few nodes that take a checkpoint a second, at some 150 octets each.</summary>
    internal const int DefaultCapacity = 8192;

    /// <summary>The most marks in one read: a viewer that opens late takes them in bites.</summary>
    internal const int MaxRead = 64;

    private readonly Lock _gate = new();
    private readonly byte[][] _kept = new byte[capacity][];
    private long _count;
    private byte[] _now = "{}"u8.ToArray();
    private long _version;
    private TaskCompletionSource _changed = NewSignal();

    /// <summary>Names this run of the daemon.</summary>
    internal string Run { get; } = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(8));

    /// <summary>The number of the newest mark; 0 for none.</summary>
    internal long Count
    {
        get
        {
            lock (_gate)
            {
                return _count;
            }
        }
    }

    /// <summary>Adds a mark.</summary>
    /// <param name="mark">It, as JSON.</param>
    internal void Add(byte[] mark) => Change(() => _kept[++_count % capacity] = mark);

    /// <summary>Says how things are now; what was said before is forgotten.</summary>
    /// <param name="now">It, as JSON.</param>
    internal void SetNow(byte[] now) => Change(() =>
    {
        _now = now;
        _version++;
    });

    /// <summary>What is new to a viewer.</summary>
    /// <param name="after">The number of the last mark that it has.</param>
    /// <param name="version">The version of <see cref="PageNews.Now"/> that it has.</param>
    internal PageNews Read(long after, long version)
    {
        lock (_gate)
        {
            long missed = Math.Max(0, _count - capacity - after);
            long first = after + missed + 1;
            byte[][] marks = new byte[Math.Min(MaxRead, Math.Max(0, _count + 1 - first))][];
            for (int i = 0; i < marks.Length; i++)
            {
                marks[i] = _kept[(first + i) % capacity];
            }

            // How things are makes sense with the newest mark only.
            bool all = first + marks.Length > _count;
            return new PageNews(missed, first, marks, all && version != _version ? _now : null, _version, _changed.Task);
        }
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private void Change(Action change)
    {
        TaskCompletionSource changed;
        lock (_gate)
        {
            change();
            changed = _changed;
            _changed = NewSignal();
        }

        changed.SetResult();
    }
}

/// <summary>What is new to a viewer.</summary>
/// <param name="Missed">Marks before the first one that are not kept any more.</param>
/// <param name="First">The number of the first mark.</param>
/// <param name="Marks">The marks.</param>
/// <param name="Now">How things are; null where the viewer knows, or has more marks to read first.</param>
/// <param name="Version">The version of it.</param>
/// <param name="Changed">Ends when there is more.</param>
internal sealed record PageNews(long Missed, long First, byte[][] Marks, byte[]? Now, long Version, Task Changed);
