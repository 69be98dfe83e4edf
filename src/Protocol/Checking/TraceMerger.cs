using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Protocol.Checking;

/// <summary>
/// Merges traces that single nodes recorded into one that a checker can judge. The order is by causality alone: each
/// node's records stay in their order, and a delivery comes after its send; clocks are not looked at.
/// </summary>
/// <remarks>
/// A rollback comes after the deliveries of what it undoes: a receiver takes no message of a rolled-back past. Traces
/// with rollbacks are read twice for it. Where one delivers such a message all the same, the rollback comes when nothing
/// else can. An adoption comes after all that there is of the lost node. Numbers of messages that are sent and not delivered are kept, with rollbacks those of all messages.
/// </remarks>
public static class TraceMerger
{
    /// <summary>The header of the merged trace.</summary>
    /// <param name="headers">Those of the traces, at least one.</param>
    /// <exception cref="TraceException">They are not of one run.</exception>
    public static TraceHeader HeaderOf(IReadOnlyList<TraceHeader> headers)
    {
        ArgumentNullException.ThrowIfNull(headers);
        ArgumentOutOfRangeException.ThrowIfZero(headers.Count, nameof(headers));
        TraceHeader merged = headers[0] with { Rollbacks = headers.Any(header => header.Rollbacks) };
        for (int i = 1; i < headers.Count; i++)
        {
            if (headers[i] with { Rollbacks = merged.Rollbacks } != merged)
            {
                throw new TraceException(
                    $"trace {i + 1} is of another run than trace 1: nodes, protocol, line rule or channel logs differ");
            }
        }

        return merged;
    }

    /// <summary>Merges.</summary>
    /// <param name="open">Open the traces, each time from the beginning; the records of a node are in one of them.</param>
    /// <param name="output">Where to; begun with <see cref="HeaderOf"/>, and not completed here.</param>
    /// <exception cref="TraceException">A trace is cut or damaged, a node has records in two, or a message is delivered
    /// that none of them sends.</exception>
    public static void Merge(IReadOnlyList<Func<TraceReader>> open, TraceWriter output)
    {
        ArgumentNullException.ThrowIfNull(open);
        ArgumentNullException.ThrowIfNull(output);
        Dictionary<long, int>? deliveries = null;
        if (output.Header.Rollbacks)
        {
            deliveries = [];
            foreach (Func<TraceReader> part in open)
            {
                for (TraceReader reader = part(); reader.TryRead(out TraceEvent item);)
                {
                    if (item.Kind is TraceEventKind.Receive or TraceEventKind.ReceiveLogged)
                    {
                        deliveries[item.Message] = deliveries.GetValueOrDefault(item.Message) + 1;
                    }
                }
            }
        }

        new Merging([.. open.Select(part => part())], output, deliveries).Run();
    }

    // Deliveries: with rollbacks, by message how many are still to come.
    private sealed class Merging(TraceReader[] parts, TraceWriter output, Dictionary<long, int>? deliveries)
    {
        private readonly Head[] _heads = new Head[parts.Length];

        // With rollbacks, by node what it has sent after each of its checkpoints.
        private readonly List<List<long>>[] _history = deliveries is null
            ? []
            : [.. Enumerable.Range(0, output.Header.Nodes).Select(_ => new List<List<long>> { new() })];
        private readonly int[] _partOf = new int[output.Header.Nodes];
        private readonly HashSet<long> _sent = [];

        // Parts whose next record can be written, those that wait for a message, and those that are about to roll back.
        private readonly Queue<int> _ready = new();
        private readonly Dictionary<long, int> _waiting = [];
        private readonly List<int> _rollbacks = [];
        private readonly List<int> _adoptions = [];
        private readonly bool[] _exhausted = new bool[parts.Length];

        internal void Run()
        {
            for (int part = 0; part < parts.Length; part++)
            {
                Advance(part);
            }

            while (_ready.TryDequeue(out int part) || NextAdoption(out part) || NextRollback(out part)
                || NextAdoption(out part, anyOne: true))
            {
                TraceEvent item = _heads[part].Item;
                output.Write(in item);
                if (item.Kind == TraceEventKind.Send)
                {
                    if (!_sent.Add(item.Message))
                    {
                        throw Refused(part, $"message {item.Message} is sent a second time; each needs a number of its own");
                    }

                    if (_waiting.Remove(item.Message, out int waiting))
                    {
                        _ready.Enqueue(waiting);
                    }
                }
                else if (deliveries is null && item.Kind is TraceEventKind.Receive or TraceEventKind.ReceiveLogged)
                {
                    _ = _sent.Remove(item.Message);
                }

                if (deliveries is not null)
                {
                    Remember(in item, deliveries);
                }

                Advance(part);
            }

            if (_waiting.Count > 0)
            {
                (long message, int part) = _waiting.MinBy(pair => pair.Value);
                throw Refused(part, $"message {message} is delivered, and no trace sends it before, or it was delivered already");
            }
        }

        private void Remember(in TraceEvent item, Dictionary<long, int> deliveries)
        {
            List<List<long>> history = _history[item.Node];
            switch (item.Kind)
            {
                case TraceEventKind.Send:
                    history[^1].Add(item.Message);
                    break;
                case TraceEventKind.Receive or TraceEventKind.ReceiveLogged:
                    deliveries[item.Message]--;
                    break;
                case TraceEventKind.Rollback:
                    int kept = (int)Math.Min(item.Ordinal, history.Count);
                    history.RemoveRange(kept, history.Count - kept);
                    history.Add([]);
                    break;
                default:
                    if (item.IsCheckpoint)
                    {
                        history.Add([]);
                    }

                    break;
            }
        }

        // One whose undone messages have all been delivered as often as they are; else the one that is there longest.
        private bool NextRollback(out int part)
        {
            int chosen = Math.Max(0, _rollbacks.FindIndex(candidate =>
            {
                TraceEvent item = _heads[candidate].Item;
                return _history[item.Node].Skip((int)Math.Min(item.Ordinal, int.MaxValue)).SelectMany(sent => sent)
                    .All(message => deliveries!.GetValueOrDefault(message) == 0);
            }));
            if (_rollbacks.Count == 0)
            {
                part = 0;
                return false;
            }

            part = _rollbacks[chosen];
            _rollbacks.RemoveAt(chosen);
            return true;
        }

        // One of whose lost node nothing is to come.
        private bool NextAdoption(out int part, bool anyOne = false)
        {
            int chosen = _adoptions.FindIndex(candidate =>
                anyOne || _partOf[_heads[candidate].Item.Peer] is var owner && (owner == 0 || _exhausted[owner - 1]));
            part = chosen < 0 ? 0 : _adoptions[chosen];
            if (chosen >= 0)
            {
                _adoptions.RemoveAt(chosen);
            }

            return chosen >= 0;
        }

        private void Advance(int part)
        {
            if (!parts[part].TryRead(out TraceEvent item))
            {
                _exhausted[part] = true;
                return;
            }

            _heads[part] = new Head(item, parts[part].Position);
            ref int owner = ref _partOf[item.Node];
            if (owner != 0 && owner != part + 1)
            {
                throw Refused(part, $"node {item.Node} has records in trace {owner} too; its order would be lost");
            }

            owner = part + 1;
            bool needs = item.Kind is TraceEventKind.Receive or TraceEventKind.ReceiveLogged or TraceEventKind.Lost;
            if (item.Kind == TraceEventKind.Rollback && deliveries is not null)
            {
                _rollbacks.Add(part);
            }
            else if (item.Kind == TraceEventKind.Adoption)
            {
                _adoptions.Add(part);
            }
            else if (!needs || _sent.Contains(item.Message))
            {
                _ready.Enqueue(part);
            }
            else if (!_waiting.TryAdd(item.Message, part))
            {
                throw Refused(part, $"message {item.Message} is delivered in trace {_waiting[item.Message] + 1} too");
            }
        }

        private TraceException Refused(int part, string message) =>
            new($"trace {part + 1}, {_heads[part].Position}: {message}");

        [StructLayout(LayoutKind.Auto)]
        private readonly record struct Head(TraceEvent Item, string Position);
    }
}
