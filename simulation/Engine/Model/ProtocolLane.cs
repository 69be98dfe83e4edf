using System.Runtime.InteropServices;
using XenTwoLevelCkpt.Protocol;
using XenTwoLevelCkpt.Simulation.Events;
using XenTwoLevelCkpt.Simulation.Random;

namespace XenTwoLevelCkpt.Simulation.Model;

/// <summary>A lane whose protocol is known to the compiler.</summary>
internal sealed class ProtocolLane<TProtocol, TPiggyback, TProbe> : Lane
    where TProtocol : struct, IProtocol<TProtocol, TPiggyback>
    where TProbe : struct, ILaneProbe
{
    private const ulong Tick = 0;
    private const ulong Marker = 1UL << 62;

    private const uint PurposeTick = 2;
    private const uint PurposeControl = 3;

    private readonly Topology _processes;
    private readonly Topology _nodes;
    private readonly TProtocol[] _protocols;
    private readonly RandomStream[] _ticks;
    private readonly Distribution _interval;
    private readonly bool _recordedTicks;
    private readonly Distribution _controlDelay;
    private readonly long _piggybackSize;
    private readonly EventQueue _queue = new();
    private RandomStream _control;
    private TProbe _probe;
    private InFlight[] _messages = new InFlight[1024];
    private InFlight[] _markers = [];
    private int[] _freeMarkers = [];
    private int _markersUsed;
    private int _markersFree;
    private long _nextOwn;

    private long _basic;
    private long _forced;
    private long _skipped;
    private long _basicVms;
    private long _forcedVms;
    private long _remote;
    private long _local;
    private long _logged;
    private long _sent;
    private long _controlSent;

    internal ProtocolLane(LaneSettings settings, Topology topology, ulong seed, TProbe probe)
    {
        _nodes = topology;
        _processes = settings.Flat ? new Topology(topology.Vms, 1) : topology;
        _interval = settings.Interval;
        _recordedTicks = settings.RecordedTicks;
        _controlDelay = settings.ControlDelay;
        _piggybackSize = TProtocol.Traits.PiggybackSize(_processes.Nodes);
        _probe = probe;
        _control = new RandomStream(seed, PurposeControl, 0);
        _protocols = new TProtocol[_processes.Nodes];
        _ticks = new RandomStream[_processes.Nodes];
        for (int process = 0; process < _protocols.Length; process++)
        {
            _protocols[process] = TProtocol.Create(process, _protocols.Length);
            ref RandomStream stream = ref _ticks[process];
            stream = new RandomStream(seed, PurposeTick, (uint)process);
            if (!_recordedTicks)
            {
                _queue.Push((long)(stream.NextUnit() * _interval.Mean * 1e9), Tick | (uint)process);
            }
        }

        _nextOwn = _queue.NextTime();
    }

    public override void Consume(ReadOnlySpan<TrafficEvent> block)
    {
        Topology processes = _processes;
        foreach (ref readonly TrafficEvent e in block)
        {
            if (e.Time >= _nextOwn)
            {
                RunOwn(e.Time);
            }

            int from = processes.NodeOf(e.From), to = processes.NodeOf(e.To);
            if (e.Message >= 0)
            {
                if (from != to)
                {
                    Send(e.Time, from, to, e.Message);
                }
            }
            else if (from != to)
            {
                Deliver(e.Time, from, to, ~e.Message);
            }
            else if (e.Message != TrafficEvent.Tick)
            {
                _local++;
            }
            else if (_recordedTicks)
            {
                OnTick(e.Time, to);
            }
        }
    }

    public override LaneResult Finish(long end)
    {
        RunOwn(end);
        long max = 0, min = long.MaxValue;
        for (int process = 0; process < _protocols.Length; process++)
        {
            long index = _protocols[process].Index;
            max = Math.Max(max, index);
            min = Math.Min(min, index);
        }

        return new LaneResult
        {
            Processes = _protocols.Length,
            Basic = _basic,
            Forced = _forced,
            Skipped = _skipped,
            BasicVms = _basicVms,
            ForcedVms = _forcedVms,
            Remote = _remote,
            Local = _local,
            Logged = _logged,
            Control = _controlSent,
            PiggybackBytes = (_sent + _controlSent) * _piggybackSize,
            MaxIndex = max,
            MinIndex = min,
        };
    }

    private void Send(long now, int from, int to, int message)
    {
        if (message >= _messages.Length)
        {
            Array.Resize(ref _messages, Math.Max(message + 1, 2 * _messages.Length));
        }

        _sent++;
        ref TProtocol protocol = ref _protocols[from];
        ref InFlight sent = ref _messages[message];
        bool checkpoint = protocol.OnSend(to, out sent.Piggyback);

        // Only now: the first send after a checkpoint may raise it.
        sent.Index = protocol.Index;
        _probe.OnSend(now, from, to, message, sent.Index);
        if (checkpoint)
        {
            Checkpoint(now, from, forced: true);
        }
    }

    private void Deliver(long now, int from, int to, int message)
    {
        ref InFlight arrived = ref _messages[message];
        Receive(now, from, to, in arrived.Piggyback);
        _remote++;
        long index = _protocols[to].Index;
        if (arrived.Index < index)
        {
            _logged++;
        }

        _probe.OnDeliver(now, from, to, message, index);
    }

    private void Receive(long now, int from, int to, in TPiggyback piggyback)
    {
        while (true)
        {
            ReceiveDecision decision = _protocols[to].OnReceive(from, in piggyback);
            if (decision == ReceiveDecision.Deliver)
            {
                return;
            }

            if (decision != ReceiveDecision.CheckpointFirst)
            {
                throw new InvalidOperationException(
                    $"{TProtocol.Traits.Name} answered {decision} although no checkpoint is being taken");
            }

            Checkpoint(now, to, forced: true);
        }
    }

    private void Checkpoint(long now, int process, bool forced)
    {
        ref TProtocol protocol = ref _protocols[process];
        _probe.OnCheckpoint(now, process, protocol.PendingLabel, forced);
        bool announce = protocol.OnCheckpointDone();
        int vms = _processes.CountOf(process);
        if (forced)
        {
            _forced++;
            _forcedVms += vms;
        }
        else
        {
            _basic++;
            _basicVms += vms;
        }

        if (announce)
        {
            Announce(now, process);
        }
    }

    private void Announce(long now, int from)
    {
        for (int to = 0; to < _protocols.Length; to++)
        {
            if (to == from)
            {
                continue;
            }

            if (_markersFree == 0 && _markersUsed == _markers.Length)
            {
                int length = Math.Max(1024, 2 * _markers.Length);
                Array.Resize(ref _markers, length);
                Array.Resize(ref _freeMarkers, length);
            }

            int marker = _markersFree > 0 ? _freeMarkers[--_markersFree] : _markersUsed++;
            ref InFlight sent = ref _markers[marker];
            (sent.From, sent.To) = (from, to);
            if (_protocols[from].OnSend(to, out sent.Piggyback))
            {
                throw new InvalidOperationException($"{TProtocol.Traits.Name} takes a checkpoint after its own marker");
            }

            sent.Index = _protocols[from].Index;

            _controlSent++;
            _probe.OnSend(now, from, to, ~marker, sent.Index);
            _queue.Push(now + _controlDelay.Next(ref _control), Marker | (uint)marker);
        }

        _nextOwn = _queue.NextTime();
    }

    // Ticks and markers until a moment, that moment included.
    private void RunOwn(long until)
    {
        while (_queue.NextTime() <= until && _queue.TryPop(out SimEvent e))
        {
            if (e.Data >= Marker)
            {
                int marker = (int)(uint)e.Data;
                InFlight arrived = _markers[marker];
                Receive(e.Time, arrived.From, arrived.To, in arrived.Piggyback);
                _probe.OnDeliver(e.Time, arrived.From, arrived.To, ~marker, _protocols[arrived.To].Index);
                _freeMarkers[_markersFree++] = marker;
                continue;
            }

            int process = (int)(uint)e.Data;
            _queue.Push(e.Time + Math.Max(1, _interval.Next(ref _ticks[process])), e.Data);
            OnTick(e.Time, process);
        }

        _nextOwn = _queue.NextTime();
    }

    private void OnTick(long now, int process)
    {
        if (_protocols[process].OnTick())
        {
            Checkpoint(now, process, forced: false);
        }
        else
        {
            _skipped++;
        }
    }

    [StructLayout(LayoutKind.Auto)]
    private struct InFlight
    {
        internal TPiggyback Piggyback;
        internal long Index;
        internal int From;
        internal int To;
    }
}
