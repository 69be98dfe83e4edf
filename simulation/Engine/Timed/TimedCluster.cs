using XenTwoLevelCkpt.Protocol;
using XenTwoLevelCkpt.Protocol.Checking;
using XenTwoLevelCkpt.Protocol.Recovery;
using XenTwoLevelCkpt.Simulation.Events;
using XenTwoLevelCkpt.Simulation.Model;
using XenTwoLevelCkpt.Simulation.Random;

namespace XenTwoLevelCkpt.Simulation.Timed;

/// <summary>The timed model: what a process does while it stands still is put off until it runs again.</summary>
internal sealed partial class TimedCluster<TProtocol, TPiggyback>
    where TProtocol : struct, IProtocol<TProtocol, TPiggyback>
{
    // At equal times in this order: what lets processes run again comes before what they do.
    private const ulong Written = 0;
    private const ulong Saved = 1UL << 60;
    private const ulong Restarted = 2UL << 60;
    private const ulong Fail = 3UL << 60;
    private const ulong Detect = 4UL << 60;
    private const ulong Tick = 5UL << 60;
    private const ulong Arrive = 6UL << 60;
    private const ulong Act = 7UL << 60;
    private const ulong Answer = 8UL << 60;
    private const ulong KindMask = 15UL << 60;

    private const uint PurposeGap = 1;
    private const uint PurposeTick = 2;
    private const uint PurposeCost = 4;
    private const uint PurposeFailure = 5;

    private readonly TimedSettings _settings;
    private readonly Topology _nodes;
    private readonly Topology _processes;
    private readonly Destinations _destinations;
    private readonly EventQueue _queue = new();
    private readonly SharedStorage _storage;
    private readonly Process[] _all;
    private readonly RandomStream[] _vmStreams;
    private readonly RandomStream[] _failureStreams;
    private readonly Dictionary<int, (int Process, Checkpoint Checkpoint)> _writes = [];
    private readonly List<Message> _messages = [];
    private readonly Stack<int> _freeMessages = new();
    private readonly List<IntervalDependency> _dependencies = [];
    private readonly TimedResult _result = new();
    private readonly Action<TraceEvent>? _trace;
    private ulong _writeGeneration;
    private long _numbers;
    private long _now;
    private double _writeSum;
    private long _writesEnded;

    internal TimedCluster(TimedSettings settings)
    {
        _settings = settings;
        _trace = settings.Trace;
        _nodes = settings.Topology;
        _processes = settings.Lane.Flat ? new Topology(_nodes.Vms, 1) : _nodes;
        _destinations = new Destinations(settings.Workload, _nodes);
        _storage = new SharedStorage(settings.StorageBandwidth, settings.LinkBandwidth);
        _all = new Process[_processes.Nodes];
        for (int i = 0; i < _all.Length; i++)
        {
            var process = new Process
            {
                Node = new ProtocolNode<TProtocol, TPiggyback>(i, _all.Length),
                Ticks = new RandomStream(settings.Seed, PurposeTick, (uint)i),
                Costs = new RandomStream(settings.Seed, PurposeCost, (uint)i),
            };
            process.Checkpoints.Add(new Checkpoint { State = TProtocol.Create(i, _all.Length), Durable = true });
            _all[i] = process;
            if (!settings.Lane.RecordedTicks)
            {
                _queue.Push((long)(process.Ticks.NextUnit() * settings.Lane.Interval.Mean * 1e9), Tick | (uint)i);
            }
        }

        if (settings.Lane.RecordedTicks)
        {
            foreach ((long time, int vm) in settings.Workload.Recording!.TicksOf(settings.Workload.Gap.Mean))
            {
                _queue.Push(time, Tick | (uint)_processes.NodeOf(vm));
            }
        }

        _vmStreams = new RandomStream[_nodes.Vms];
        for (int vm = 0; vm < _vmStreams.Length; vm++)
        {
            _vmStreams[vm] = new RandomStream(settings.Seed, PurposeGap, (uint)vm);
            if (_destinations.Starts(vm))
            {
                _queue.Push(_destinations.NextGap(vm, ref _vmStreams[vm]), Act | (uint)vm);
            }
            else if (settings.Workload.Kind == WorkloadKind.MasterWorker && vm != 0)
            {
                _queue.Push(0, Answer | ((ulong)vm << 30));
            }
        }

        _failureStreams = new RandomStream[_nodes.Nodes];
        for (int node = 0; node < _failureStreams.Length; node++)
        {
            _failureStreams[node] = new RandomStream(settings.Seed, PurposeFailure, (uint)node);
            ScheduleFailure(node);
        }

        foreach ((double time, int node) in settings.RecordedFailures)
        {
            // Without a generation: it happens whatever happened before.
            _queue.Push((long)(time * 1e9), Fail | ((ulong)uint.MaxValue << 28) | (uint)node);
        }
    }

    private enum State
    {
        Running,
        Suspended,
        Down,
    }

    internal TimedResult Execute()
    {
        long end = (long)(_settings.Duration * 1e9);
        while (_queue.TryPop(out SimEvent e) && e.Time <= end)
        {
            _now = e.Time;
            Happen(e.Data);
        }

        _now = end;
        double useful = 0, suspended = 0, down = 0, lost = 0;
        foreach (Process process in _all)
        {
            Account(process);
            useful += process.Work;
            suspended += process.Suspended;
            down += process.Down;
            lost += process.Lost;
        }

        double all = (double)end * _all.Length;
        _result.Useful = useful / all;
        _result.Suspended = suspended / all;
        _result.Down = down / all;
        _result.Lost = lost / all;
        _result.WriteMean = _writesEnded == 0 ? 0 : _writeSum / _writesEnded;
        _result.WritersMax = _storage.MostWriters;
        return _result;
    }

    private void Happen(ulong data)
    {
        int low = (int)(data & ((1 << 28) - 1));
        switch (data & KindMask)
        {
            case Written:
                if (data == _writeGeneration)
                {
                    OnWritten(_storage.End(_now));
                }

                break;
            case Saved:
                if (_all[low].Generation == (uint)(data >> 28))
                {
                    OnSaved(low);
                }

                break;
            case Restarted:
                if (_all[low].Generation == (uint)(data >> 28))
                {
                    OnRestarted(low);
                }

                break;
            case Fail:
                OnFailure(low, (uint)(data >> 28));
                break;
            case Detect:
                Recover();
                break;
            case Tick:
                if (!Parked(_all[low], data))
                {
                    if (!_settings.Lane.RecordedTicks)
                    {
                        _queue.Push(_now + Math.Max(1, _settings.Lane.Interval.Next(ref _all[low].Ticks)), data);
                    }

                    if (_all[low].Node.Protocol.OnTick())
                    {
                        Begin(low, TraceEventKind.Basic);
                    }
                }

                break;
            case Arrive:
                OnArrival((int)(uint)data, data);
                break;
            case Act:
                if (!Parked(_all[_processes.NodeOf(low)], data))
                {
                    ref RandomStream stream = ref _vmStreams[low];
                    SendFrom(low, _destinations.Next(low, ref stream), ref stream);
                    _queue.Push(_now + _destinations.NextGap(low, ref stream), data);
                }

                break;
            default:
                int vm = (int)(data & ((1 << 30) - 1)), to = (int)((data >> 30) & ((1 << 30) - 1));
                if (!Parked(_all[_processes.NodeOf(vm)], data))
                {
                    SendFrom(vm, to, ref _vmStreams[vm]);
                }

                break;
        }
    }

    private static bool Parked(Process process, ulong data)
    {
        if (process.State == State.Running)
        {
            return false;
        }

        process.Parked.Add(data);
        return true;
    }

    private void Unpark(Process process)
    {
        Account(process);
        process.State = State.Running;
        foreach (ulong data in process.Parked)
        {
            _queue.Push(_now, data);
        }

        process.Parked.Clear();
    }

    // Books the time since the last change of state.
    private void Account(Process process)
    {
        long span = _now - process.Since;
        process.Since = _now;
        switch (process.State)
        {
            case State.Running:
                process.Work += span;
                break;
            case State.Suspended:
                process.Suspended += span;
                break;
            default:
                process.Down += span;
                break;
        }
    }

    private void SendFrom(int vm, int toVm, ref RandomStream stream)
    {
        int from = _processes.NodeOf(vm), to = _processes.NodeOf(toVm);
        bool sameNode = _nodes.NodeOf(vm) == _nodes.NodeOf(toVm);
        long delay = sameNode
            ? _settings.Workload.LocalDelay.Next(ref stream)
            : _settings.Workload.Delay.Next(ref stream);
        bool after = false;
        var message = new Message { From = from, To = to, FromVm = vm, ToVm = toVm };
        if (from != to)
        {
            after = Stamp(message);
        }

        _queue.Push(_now + delay, Arrive | (uint)Keep(message));
        if (after)
        {
            Begin(from, TraceEventKind.Other);
        }
    }

    // Fills in what the protocol piggybacks; true where a checkpoint begins after it.
    private bool Stamp(Message message)
    {
        Process sender = _all[message.From];
        message.Incarnation = sender.Node.Incarnation;
        message.SentAfter = sender.Last;
        message.Number = _numbers++;
        bool after = sender.Node.Protocol.OnSend(message.To, out message.Piggyback);

        // Only now: the first send after a checkpoint may raise it.
        message.Index = sender.Node.Protocol.Index;
        Reached(sender);
        _trace?.Invoke(TraceEvent.Send(message.From, message.To, message.Number, message.Index));
        return after;
    }

    private int Keep(Message message)
    {
        if (_freeMessages.TryPop(out int slot))
        {
            _messages[slot] = message;
            return slot;
        }

        _messages.Add(message);
        return _messages.Count - 1;
    }

    private void Free(int slot)
    {
        _messages[slot] = Message.None;
        _freeMessages.Push(slot);
    }

    private void OnArrival(int slot, ulong data)
    {
        Message message = _messages[slot];
        if (message.Dropped)
        {
            Free(slot);
            return;
        }

        Process receiver = _all[message.To];
        if (Parked(receiver, data))
        {
            return;
        }

        if (message.From == message.To)
        {
            _result.Local++;
        }
        else
        {
            switch (receiver.Node.OnReceive(message.From, message.Incarnation, in message.Piggyback))
            {
                case ReceiveDecision.CheckpointFirst:
                    Begin(message.To, TraceEventKind.Forced);
                    _ = Parked(receiver, data);
                    return;
                case ReceiveDecision.Deliver:
                    Delivered(receiver, message);
                    break;
                default:
                    throw new InvalidOperationException(
                        $"{TProtocol.Traits.Name} does not take a message of its own incarnation while it runs");
            }
        }

        if (!message.Control && !message.Replay && _destinations.Answers(message.ToVm))
        {
            long service = _destinations.Service(message.ToVm, ref _vmStreams[message.ToVm]);
            _queue.Push(_now + service, Answer | ((ulong)message.FromVm << 30) | (uint)message.ToVm);
        }

        Free(slot);
    }

    private void Delivered(Process receiver, Message message)
    {
        if (!message.Replay && !message.Control)
        {
            _result.Remote++;
        }

        long index = receiver.Node.Protocol.Index;
        Reached(receiver);
        bool logged = CrossingMessages.MustLog(TProtocol.Traits.Line, message.Index, index);
        if (logged)
        {
            receiver.Log.Add((message, receiver.Last));
        }

        if (TProtocol.Traits.Line == LineRule.Propagation)
        {
            _dependencies.Add(new IntervalDependency(message.From, message.SentAfter, message.To, receiver.Last));
        }

        _trace?.Invoke(TraceEvent.Receive(message.To, message.Number, index, logged));
    }

    // The index also rises without a checkpoint in some protocols.
    private static void Reached(Process process)
    {
        Checkpoint last = process.Checkpoints[^1];
        last.Reach = Math.Max(last.Reach, process.Node.Protocol.Index);
    }

    private sealed class Checkpoint
    {
        internal TProtocol State;

        internal long Label { get; init; }

        internal long Reach { get; set; }

        internal long Work { get; init; }

        internal long Began { get; set; }

        internal int Write { get; set; } = -1;

        internal bool Durable { get; set; }
    }

    private sealed class Process
    {
        internal ProtocolNode<TProtocol, TPiggyback> Node;
        internal RandomStream Ticks;
        internal RandomStream Costs;

        internal State State { get; set; }

        // Of the present suspension or restart; an event of an older one means nothing any more.
        internal uint Generation { get; set; }

        internal bool Failed { get; set; }

        internal TraceEventKind Kind { get; set; }

        internal Checkpoint? Pending { get; set; }

        internal List<Checkpoint> Checkpoints { get; } = [];

        // Checkpoints that were removed as garbage.
        internal long Removed { get; set; }

        internal long Last => Removed + Checkpoints.Count - 1;

        internal List<ulong> Parked { get; } = [];

        internal List<(Message Message, long After)> Log { get; set; } = [];

        internal long Since { get; set; }

        internal long Work { get; set; }

        internal long Suspended { get; set; }

        internal long Down { get; set; }

        internal long Lost { get; set; }
    }

    private sealed class Message
    {
        internal static readonly Message None = new();

        internal TPiggyback Piggyback = default!;

        internal int From { get; init; }

        internal int To { get; init; }

        internal int FromVm { get; init; }

        internal int ToVm { get; init; }

        internal long Index { get; set; }

        internal int Incarnation { get; set; }

        internal long SentAfter { get; set; }

        internal long Number { get; set; }

        internal bool Control { get; init; }

        internal bool Replay { get; init; }

        internal bool Dropped { get; set; }
    }
}
