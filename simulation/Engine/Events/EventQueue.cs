using System.Numerics;
using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Simulation.Events;

/// <summary>
/// The future events, earliest first, at a cost that does not grow with their number. After the ladder queue (Tang,
/// Goh, Thng 2005) with one rung: events far ahead lie unsorted; at the start of an epoch those of its span are spread
/// over buckets; the earliest bucket is sorted when its turn comes.
/// </summary>
/// <remarks>
/// <para>
/// A span is chosen from a sample of what is pending, so that a heavy tail does not make the buckets wide. A bucket that
/// is crowded all the same costs a sort, and a burst of events into the bucket whose turn it is goes into a heap: the
/// worst case is that of a heap.
/// </para>
/// <para>Nothing is allocated once the arrays have grown to the greatest number of pending events. One thread uses it.
/// </para>
/// </remarks>
public sealed class EventQueue
{
    /// <summary>The latest time: 146 years in nanoseconds. Twice as far would overflow when a span is added.</summary>
    public const long Horizon = long.MaxValue / 2;

    private const int None = -1;

    // A bucket beyond this is sorted by a library routine: insertion costs the square.
    private const int InsertionLimit = 24;

    // Insertion moves half of them on average: with more, buckets are cheaper.
    private const int SoonLimit = 12;

    // An index of 4 bytes for each bucket stays in the L2 cache up to about here.
    private const int MostBuckets = 1 << 20;
    private const int FewestBuckets = 64;

    // Enough for a quantile that is wrong by less than a factor of two.
    private const int Samples = 63;

    // Latest first: the next event is the last element.
    private SimEvent[] _near = new SimEvent[2 * InsertionLimit];
    private int _nearCount;
    private long _nearEnd;

    // Sorted likewise: what is due before most of what is pending.
    private readonly SimEvent[] _soon = new SimEvent[SoonLimit];
    private int _soonCount;

    private SimEvent[] _heap = [];
    private int _heapCount;

    private Node[] _nodes = new Node[FewestBuckets];
    private int _nodesUsed;
    private int _free = None;

    private int[] _heads = [];
    private ulong[] _occupied = [];
    private int _bucket;
    private int _shift;
    private long _epochStart;
    private long _epochEnd;

    private SimEvent[] _far = new SimEvent[FewestBuckets];
    private int _farCount;

    private readonly long[] _sample = new long[Samples];

    /// <summary>Pending events.</summary>
    public int Count { get; private set; }

    /// <summary>Schedules an event.</summary>
    /// <param name="time">Nanoseconds, not before the last event taken and at most <see cref="Horizon"/>.</param>
    /// <param name="data">See <see cref="SimEvent.Data"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException">The time is past the horizon, or negative.</exception>
    public void Push(long time, ulong data)
    {
        if ((ulong)time > Horizon)
        {
            ThrowOutOfRange(time);
        }

        Count++;
        var e = new SimEvent(time, data);
        if (time >= _epochEnd)
        {
            PushFar(e);
        }
        else if (time < _nearEnd)
        {
            PushNear(e);
        }
        else
        {
            PushBucket(e);
        }
    }

    /// <summary>Schedules an event that is likely to be among the next few: it goes into a short sorted list while that has
    /// room. The order of events is the same as with <see cref="Push"/>.</summary>
    /// <param name="time">As for <see cref="Push"/>.</param>
    /// <param name="data">See <see cref="SimEvent.Data"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException">The time is past the horizon, or negative.</exception>
    public void PushSoon(long time, ulong data)
    {
        int i = _soonCount;
        SimEvent[] soon = _soon;
        if ((ulong)time > Horizon || i >= soon.Length)
        {
            Push(time, data);
            return;
        }

        var e = new SimEvent(time, data);
        while (i > 0 && soon[i - 1] < e)
        {
            soon[i] = soon[i - 1];
            i--;
        }

        soon[i] = e;
        _soonCount++;
        Count++;
    }

    /// <summary>Takes the earliest event; of equal times that with the least data.</summary>
    /// <param name="e">The event.</param>
    /// <returns>False where none is pending.</returns>
    public bool TryPop(out SimEvent e)
    {
        if (_heapCount != 0)
        {
            return PopAny(out e);
        }

        if (_nearCount == 0 && !Refill())
        {
            return PopSoon(out e);
        }

        if (_soonCount != 0 && _soon[_soonCount - 1] < _near[_nearCount - 1])
        {
            return PopSoon(out e);
        }

        Count--;
        e = _near[--_nearCount];
        return true;
    }

    /// <summary>The time of the earliest event, <see cref="long.MaxValue"/> where none is pending.</summary>
    public long NextTime()
    {
        long near = _nearCount == 0 && (_heapCount != 0 || !Refill()) ? long.MaxValue : _near[_nearCount - 1].Time;
        if (_soonCount != 0)
        {
            near = Math.Min(near, _soon[_soonCount - 1].Time);
        }

        return _heapCount == 0 ? near : Math.Min(near, _heap[0].Time);
    }

    /// <summary>Forgets all events; keeps the arrays.</summary>
    public void Clear()
    {
        Array.Fill(_heads, None);
        Array.Clear(_occupied);
        _soonCount = _nearCount = _heapCount = _nodesUsed = _farCount = 0;
        _free = None;
        _nearEnd = _epochStart = _epochEnd = 0;
        Count = 0;
    }

    private static void ThrowOutOfRange(long time) =>
        throw new ArgumentOutOfRangeException(nameof(time), time, "an event has to be between 0 and 146 years");

    private void PushFar(SimEvent e)
    {
        if (_farCount == _far.Length)
        {
            Array.Resize(ref _far, 2 * _far.Length);
        }

        _far[_farCount++] = e;
    }

    private void PushBucket(SimEvent e)
    {
        int bucket = (int)((e.Time - _epochStart) >> _shift);
        int node = _free;
        if (node == None)
        {
            if (_nodesUsed == _nodes.Length)
            {
                Array.Resize(ref _nodes, 2 * _nodes.Length);
            }

            node = _nodesUsed++;
        }
        else
        {
            _free = _nodes[node].Next;
        }

        ref int head = ref _heads[bucket];
        _nodes[node] = new Node(e, head);
        head = node;
        _occupied[bucket >> 6] |= 1UL << bucket;
    }

    private void PushNear(SimEvent e)
    {
        SimEvent[] near = _near;
        int i = _nearCount;
        if (i >= InsertionLimit)
        {
            PushHeap(e);
            return;
        }

        while (i > 0 && near[i - 1] < e)
        {
            near[i] = near[i - 1];
            i--;
        }

        near[i] = e;
        _nearCount++;
    }

    // Fills _near from the next bucket, or starts an epoch.
    private bool Refill()
    {
        while (true)
        {
            int word = _bucket >> 6;
            ulong[] occupied = _occupied;
            if ((uint)word < (uint)occupied.Length)
            {
                ulong bits = occupied[word] & (~0UL << _bucket);
                while (bits == 0 && ++word < occupied.Length)
                {
                    bits = occupied[word];
                }

                if (bits != 0)
                {
                    Drain((word << 6) + BitOperations.TrailingZeroCount(bits));
                    return true;
                }
            }

            if (_farCount == 0)
            {
                // Whatever comes next is far: an epoch that is over has no bucket to put it in.
                _nearEnd = _epochEnd = 0;
                _bucket = _heads.Length;
                return false;
            }

            StartEpoch();
        }
    }

    private void Drain(int bucket)
    {
        _occupied[bucket >> 6] &= ~(1UL << bucket);
        int node = _heads[bucket];
        _heads[bucket] = None;
        _bucket = bucket + 1;
        _nearEnd = Math.Min(_epochEnd, _epochStart + ((long)_bucket << _shift));
        Node[] nodes = _nodes;
        while (node != None)
        {
            ref Node source = ref nodes[node];
            int next = source.Next;
            SimEvent e = source.Event;
            source.Next = _free;
            _free = node;
            node = next;
            if (_nearCount < InsertionLimit)
            {
                PushNear(e);
            }
            else
            {
                if (_nearCount == _near.Length)
                {
                    Array.Resize(ref _near, 2 * _near.Length);
                }

                _near[_nearCount++] = e;
            }
        }

        if (_nearCount > InsertionLimit)
        {
            Span<SimEvent> all = _near.AsSpan(0, _nearCount);
            all.Sort();
            all.Reverse();
        }
    }

    private void StartEpoch()
    {
        SimEvent[] far = _far;
        int count = _farCount;
        long first = long.MaxValue;
        foreach (SimEvent e in far.AsSpan(0, count))
        {
            first = Math.Min(first, e.Time);
        }

        // At least half of what is pending falls into the epoch, or it would cost more than it yields.
        int samples = Math.Min(Samples, count);
        Span<long> sample = _sample.AsSpan(0, samples);
        for (int i = 0; i < samples; i++)
        {
            sample[i] = far[(int)((long)i * count / samples)].Time;
        }

        sample.Sort();
        long span = sample[samples * 7 / 8] - first + 1;

        int buckets = (int)Math.Clamp(BitOperations.RoundUpToPowerOf2((uint)count), FewestBuckets, MostBuckets);
        if (_heads.Length < buckets)
        {
            _heads = new int[buckets];
            Array.Fill(_heads, None);
            _occupied = new ulong[buckets >> 6];
        }

        buckets = _heads.Length;
        _shift = Math.Max(0, 64 - BitOperations.LeadingZeroCount((ulong)((span - 1) / buckets)));
        _epochStart = first;
        _epochEnd = first + Math.Min(Horizon, (long)buckets << _shift);
        _nearEnd = first;
        _bucket = 0;

        int left = 0;
        for (int i = 0; i < count; i++)
        {
            SimEvent e = far[i];
            if (e.Time < _epochEnd)
            {
                PushBucket(e);
            }
            else
            {
                far[left++] = e;
            }
        }

        _farCount = left;
    }

    private bool PopSoon(out SimEvent e)
    {
        if (_soonCount == 0)
        {
            e = default;
            return false;
        }

        Count--;
        e = _soon[--_soonCount];
        return true;
    }

    private bool PopAny(out SimEvent e)
    {
        if (_soonCount != 0 && _soon[_soonCount - 1] < _heap[0]
            && (_nearCount == 0 || _soon[_soonCount - 1] < _near[_nearCount - 1]))
        {
            return PopSoon(out e);
        }

        Count--;
        if (_nearCount != 0 && _near[_nearCount - 1] < _heap[0])
        {
            e = _near[--_nearCount];
            return true;
        }

        e = _heap[0];
        SimEvent last = _heap[--_heapCount];
        int i = 0;
        while (true)
        {
            int child = (4 * i) + 1;
            if (child >= _heapCount)
            {
                break;
            }

            int least = child;
            int end = Math.Min(child + 4, _heapCount);
            for (int other = child + 1; other < end; other++)
            {
                least = _heap[other] < _heap[least] ? other : least;
            }

            if (last <= _heap[least])
            {
                break;
            }

            _heap[i] = _heap[least];
            i = least;
        }

        _heap[i] = last;
        return true;
    }

    private void PushHeap(SimEvent e)
    {
        if (_heapCount == _heap.Length)
        {
            Array.Resize(ref _heap, Math.Max(FewestBuckets, 2 * _heap.Length));
        }

        int i = _heapCount++;
        while (i > 0)
        {
            int parent = (i - 1) >> 2;
            if (_heap[parent] <= e)
            {
                break;
            }

            _heap[i] = _heap[parent];
            i = parent;
        }

        _heap[i] = e;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct Node(SimEvent e, int next)
    {
        internal readonly SimEvent Event = e;
        internal int Next = next;
    }
}
