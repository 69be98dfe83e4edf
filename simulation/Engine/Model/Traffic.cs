using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using XenTwoLevelCkpt.Simulation.Events;
using XenTwoLevelCkpt.Simulation.Random;

namespace XenTwoLevelCkpt.Simulation.Model;

/// <summary>A message is sent or delivered.</summary>
/// <param name="Time">When, in nanoseconds.</param>
/// <param name="From">The sending VM.</param>
/// <param name="To">The receiving VM.</param>
/// <param name="Message">The message's place: unique among those in flight, used again after delivery. Sent where it is
/// 0 or more, delivered where it is the complement of that.</param>
[StructLayout(LayoutKind.Sequential)]
public readonly record struct TrafficEvent(long Time, int From, int To, int Message)
{
    /// <summary>In place of a message: a recorded basic checkpoint of <see cref="From"/>, which is <see cref="To"/> too.
    /// </summary>
    public const int Tick = int.MinValue;
}

/// <summary>
/// The sends and deliveries of a workload in the order of time. They depend on the seed alone and on no protocol, so that
/// every protocol that is compared sees the same; this holds where checkpoints take no time.
/// </summary>
public sealed class Traffic
{
    private const ulong Deliver = 0;
    private const ulong Act = 1UL << 62;
    private const ulong Answer = 2UL << 62;
    private const ulong Number = uint.MaxValue;

    private const uint PurposeGap = 1;

    // As many as the lanes of a vector.
    private const int Messages = 4;

    private readonly EventQueue _queue = new();
    private readonly Topology _topology;
    private readonly Destinations _destinations;
    private readonly Distribution _delay;
    private readonly Distribution _localDelay;
    private readonly RandomStream[] _streams;

    // By VM what it will draw for its next messages; empty where that cannot be known ahead.
    private readonly Ahead[] _ahead;
    private readonly int _draws;
    private (int From, int To)[] _messages = new (int, int)[1024];
    private int[] _freeMessages = new int[1024];
    private readonly Recording? _recording;
    private readonly long _step;
    private int _recorded;
    private long _recordedTime;
    private int _used;
    private int _free;

    /// <summary>Begins the traffic of a run.</summary>
    /// <param name="workload">The workload.</param>
    /// <param name="topology">The VMs.</param>
    /// <param name="seed">The seed.</param>
    public Traffic(Workload workload, Topology topology, ulong seed)
    {
        ArgumentNullException.ThrowIfNull(workload);
        _topology = topology;
        _destinations = new Destinations(workload, topology);
        _delay = workload.Delay;
        _localDelay = workload.LocalDelay;
        if (workload.Recording is { } recording)
        {
            _recording = recording;
            _step = StepOf(recording, workload, topology);
            _streams = [];
            _ahead = [];
            return;
        }

        _streams = new RandomStream[topology.Vms];
        _draws = _destinations.Draws ?? 0;
        _ahead = _destinations.Draws is not null && IsExponential(workload.Gap) && IsExponential(_delay) && IsExponential(_localDelay)
            ? new Ahead[topology.Vms]
            : [];
        for (int vm = 0; vm < topology.Vms; vm++)
        {
            ref RandomStream stream = ref _streams[vm];
            stream = new RandomStream(seed, PurposeGap, (uint)vm);
            if (_destinations.Starts(vm))
            {
                _queue.Push(_destinations.NextGap(vm, ref stream), Act | (uint)vm);
            }
            else if (workload.Kind == WorkloadKind.MasterWorker && vm != 0)
            {
                // The master's first tasks.
                _queue.Push(0, Answer | ((ulong)vm << 31));
            }
        }
    }

    /// <summary>Most messages that have been in flight at a time.</summary>
    public int MostInFlight => _used;

    /// <summary>How many of the events so far were <see cref="TrafficEvent.Tick"/>.</summary>
    public long Ticks { get; private set; }

    /// <summary>Continues.</summary>
    /// <param name="block">Is filled.</param>
    /// <returns>How much of it was filled: all, unless nothing happens any more.</returns>
    public int Next(Span<TrafficEvent> block)
    {
        if (_recording is not null)
        {
            return NextRecorded(block, _recording.Entries);
        }

        int filled = 0;
        while (filled < block.Length && _queue.TryPop(out SimEvent e))
        {
            ulong kind = e.Data & (3UL << 62);
            if (kind == Deliver)
            {
                int message = (int)e.Data;
                (int from, int to) = _messages[message];
                block[filled++] = new TrafficEvent(e.Time, from, to, ~message);
                _freeMessages[_free++] = message;
                if (_destinations.Answers(to))
                {
                    _queue.Push(
                        e.Time + _destinations.Service(to, ref _streams[to]), Answer | ((ulong)from << 31) | (uint)to);
                }
            }
            else if (kind == Act)
            {
                int vm = (int)(e.Data & Number);
                ref RandomStream stream = ref _streams[vm];
                int to = _destinations.Next(vm, ref stream);
                if (_ahead.Length != 0)
                {
                    (double delay, double gap) = Exponentials(vm, ref stream);
                    ref readonly Distribution travel = ref Delay(vm, to);
                    block[filled++] = Send(e.Time, vm, to, travel.OfExponential(delay));
                    _queue.Push(e.Time + _destinations.Gap(vm).OfExponential(gap), e.Data);
                }
                else
                {
                    block[filled++] = Send(e.Time, vm, to, Delay(vm, to).Next(ref stream));
                    _queue.Push(e.Time + _destinations.NextGap(vm, ref stream), e.Data);
                }
            }
            else
            {
                int vm = (int)(e.Data & (uint)int.MaxValue), to = (int)((e.Data >> 31) & (uint)int.MaxValue);
                block[filled++] = Send(e.Time, vm, to, Delay(vm, to).Next(ref _streams[vm]));
            }
        }

        return filled;
    }

    /// <summary>Simulated time that a number of events takes: expected where VMs send by themselves, and tried out where
    /// they answer each other.</summary>
    /// <param name="workload">The workload.</param>
    /// <param name="topology">The VMs.</param>
    /// <param name="seed">The seed.</param>
    /// <param name="events">Sends and deliveries.</param>
    /// <returns>Nanoseconds, at least 1.</returns>
    public static long DurationOf(Workload workload, Topology topology, ulong seed, long events)
    {
        ArgumentNullException.ThrowIfNull(workload);
        if (workload.Recording is { } recording)
        {
            return Math.Max(1, StepOf(recording, workload, topology) * Math.Min(events, recording.Events));
        }

        double rate = new Destinations(workload, topology).Rate;
        if (rate > 0)
        {
            return Math.Max(1, (long)Math.Min(events / 2.0 / rate * 1e9, 1L << 60));
        }

        var traffic = new Traffic(workload, topology, seed);
        var block = new TrafficEvent[1024];
        long last = 0;
        for (long left = events; left > 0;)
        {
            int filled = traffic.Next(block.AsSpan(0, (int)Math.Min(left, block.Length)));
            if (filled == 0)
            {
                break;
            }

            last = block[filled - 1].Time;
            left -= filled;
        }

        return Math.Max(1, last);
    }

    private static long StepOf(Recording recording, Workload workload, Topology topology) => topology.Vms == recording.Vms
        ? recording.StepOf(workload.Gap.Mean)
        : throw new SettingsException($"{topology.Vms} VMs; the trace has {recording.Vms} nodes");

    private int NextRecorded(Span<TrafficEvent> block, ReadOnlySpan<Recording.Entry> entries)
    {
        int filled = 0;
        for (; filled < block.Length && _recorded < entries.Length; filled++, _recorded++)
        {
            Recording.Entry entry = entries[_recorded];
            if (entry.Message == TrafficEvent.Tick)
            {
                Ticks++;
            }
            else
            {
                _recordedTime += _step;
            }

            block[filled] = new TrafficEvent(_recordedTime, entry.From, entry.To, entry.Message);
        }

        return filled;
    }

    private static bool IsExponential(in Distribution distribution) => distribution.Kind == DistributionKind.Exponential;

    // The two numbers that a VM draws for a message. Each fourth time eight logarithms are taken, those of the next three
    // messages with them; the stream gives the same numbers either way.
    private (double Delay, double Gap) Exponentials(int vm, ref RandomStream stream)
    {
        ref Ahead ahead = ref _ahead[vm];
        if (ahead.Left == 0)
        {
            int each = 2 + _draws;
            Vector256<double> delays = -Portable.Log(Vector256.Create(
                stream.PeekPositiveUnit(0), stream.PeekPositiveUnit(each), stream.PeekPositiveUnit(2 * each),
                stream.PeekPositiveUnit(3 * each)));
            Vector256<double> gaps = -Portable.Log(Vector256.Create(
                stream.PeekPositiveUnit(1), stream.PeekPositiveUnit(1 + each), stream.PeekPositiveUnit(1 + (2 * each)),
                stream.PeekPositiveUnit(1 + (3 * each))));
            for (int i = 0; i < Messages; i++)
            {
                ahead.Draws[i] = (delays[Messages - 1 - i], gaps[Messages - 1 - i]);
            }

            ahead.Left = Messages;
        }

        stream.Skip(2);
        return ahead.Draws[--ahead.Left];
    }

    private ref readonly Distribution Delay(int from, int to) =>
        ref _topology.NodeOf(from) == _topology.NodeOf(to) ? ref _localDelay : ref _delay;

    private TrafficEvent Send(long now, int from, int to, long delay)
    {
        int message = _free > 0 ? _freeMessages[--_free] : Grow();
        _messages[message] = (from, to);
        _queue.PushSoon(now + delay, Deliver | (uint)message);
        return new TrafficEvent(now, from, to, message);
    }

    private int Grow()
    {
        if (_used == _messages.Length)
        {
            Array.Resize(ref _messages, 2 * _used);
            Array.Resize(ref _freeMessages, 2 * _used);
        }

        return _used++;
    }

    [InlineArray(Messages)]
    private struct DrawsAhead
    {
        private (double Delay, double Gap) _first;
    }

    // The last message first.
    [StructLayout(LayoutKind.Auto)]
    private struct Ahead
    {
        internal DrawsAhead Draws;
        internal int Left;
    }
}
