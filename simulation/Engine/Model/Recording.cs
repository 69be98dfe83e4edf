using System.Runtime.InteropServices;
using XenTwoLevelCkpt.Protocol.Checking;

namespace XenTwoLevelCkpt.Simulation.Model;

/// <summary>
/// The messages of a recorded trace (docs/trace-format.md), for other protocols to run on. A node of the trace becomes a
/// VM. What the recorded protocol did is left out, but for its basic checkpoints, which can be ticks.
/// </summary>
/// <remarks>
/// What a rollback undid stays in: it was sent. A message that was delivered again after one counts once, at its first
/// delivery. A recording takes 12 bytes a send, delivery or basic checkpoint.
/// </remarks>
public sealed class Recording
{
    private readonly List<Entry> _entries = [];

    private Recording(int vms) => Vms = vms;

    /// <summary>Nodes of the trace.</summary>
    public int Vms { get; }

    /// <summary>Sends and deliveries.</summary>
    public long Events { get; private set; }

    /// <summary>Basic checkpoints.</summary>
    public long Ticks => _entries.Count - Events;

    /// <summary>Sends, deliveries and basic checkpoints in the order of the trace.</summary>
    internal ReadOnlySpan<Entry> Entries => CollectionsMarshal.AsSpan(_entries);

    /// <summary>Reads a trace of either form, to its end: one that is cut is refused.</summary>
    /// <param name="input">From where.</param>
    /// <exception cref="TraceException">It is no trace, or is cut or damaged, or delivers what it did not send.</exception>
    public static Recording Read(Stream input)
    {
        TraceReader reader = TraceReader.Open(input);
        var recording = new Recording(reader.Header.Nodes);
        var flying = new Dictionary<long, (int Slot, int From, int To)>();
        var free = new Stack<int>();
        int used = 0;
        while (reader.TryRead(out TraceEvent item))
        {
            switch (item.Kind)
            {
                case TraceEventKind.Basic:
                    recording._entries.Add(new Entry(item.Node, item.Node, TrafficEvent.Tick));
                    break;
                case TraceEventKind.Send:
                    int slot = free.TryPop(out int reused) ? reused : used++;
                    if (!flying.TryAdd(item.Message, (slot, item.Node, item.Peer)))
                    {
                        throw new TraceException(
                            $"{reader.Position}: message {item.Message} is sent a second time; each needs a number of its own");
                    }

                    recording._entries.Add(new Entry(item.Node, item.Peer, slot));
                    recording.Events++;
                    break;
                case TraceEventKind.Receive or TraceEventKind.ReceiveLogged:
                    if (flying.Remove(item.Message, out (int Slot, int From, int To) sent))
                    {
                        if (sent.To != item.Node)
                        {
                            throw new TraceException(
                                $"{reader.Position}: message {item.Message} to node {sent.To} is delivered at node {item.Node}");
                        }

                        recording._entries.Add(new Entry(sent.From, sent.To, ~sent.Slot));
                        recording.Events++;
                        free.Push(sent.Slot);
                    }
                    else if (!reader.Header.Rollbacks)
                    {
                        throw new TraceException(
                            $"{reader.Position}: message {item.Message} is delivered, and was not sent before or was delivered already");
                    }

                    break;
                default:
                    break;
            }
        }

        return recording;
    }

    /// <summary>Nanoseconds from one send or delivery to the next: a trace has an order and no times, so its events are
    /// spread evenly, in such a way that a VM sends one message a gap on average.</summary>
    /// <param name="gap">Mean seconds from one message of a VM to its next.</param>
    /// <exception cref="SettingsException">The recording would last longer than the simulator's time.</exception>
    internal long StepOf(double gap)
    {
        double step = Math.Max(1, gap * 1e9 / (2.0 * Vms));
        return step * (Events + 1) < XenTwoLevelCkpt.Simulation.Events.EventQueue.Horizon
            ? (long)step
            : throw new SettingsException($"{Events} events with {gap} s between messages of a VM last longer than 146 years");
    }

    /// <summary>By VM the times and receivers of what it sends.</summary>
    /// <param name="gap">As for <see cref="StepOf"/>.</param>
    internal (long Time, int To)[][] SendsOf(double gap)
    {
        var sends = new List<(long, int)>?[Vms];
        long step = StepOf(gap), now = 0;
        foreach (Entry entry in _entries)
        {
            now += entry.Message == TrafficEvent.Tick ? 0 : step;
            if (entry.Message >= 0)
            {
                (sends[entry.From] ??= []).Add((now, entry.To));
            }
        }

        return [.. sends.Select(list => list?.ToArray() ?? [])];
    }

    /// <summary>The times of the basic checkpoints, each with its VM.</summary>
    /// <param name="gap">As for <see cref="StepOf"/>.</param>
    internal IEnumerable<(long Time, int Vm)> TicksOf(double gap)
    {
        long step = StepOf(gap), now = 0;
        foreach (Entry entry in _entries)
        {
            if (entry.Message == TrafficEvent.Tick)
            {
                yield return (now, entry.From);
            }
            else
            {
                now += step;
            }
        }
    }

    /// <summary>A send, a delivery or a tick, as in <see cref="TrafficEvent"/>.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal readonly record struct Entry(int From, int To, int Message);
}
