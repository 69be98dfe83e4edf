using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Protocol.Checking;

/// <summary>
/// Judges a run from its trace: orphans over recovery lines and over a given line, vector clocks, useless checkpoints
/// (Netzer, Xu, "Necessary and Sufficient Conditions for Consistent Global Snapshots", TPDS 6(2) 1995; by the R-graph of
/// Wang 1997), completeness of channel logs, rollback distance, domino effect, and what recoveries left behind. It knows
/// nothing of the protocol but its line rule and its promises.
/// </summary>
/// <remarks>
/// <para>
/// It streams. A delivery becomes a dependency between two intervals, of which one is kept for each sender; no Z-path
/// leads back over a consistent line, so whatever lies before one is judged and dropped
/// (<see cref="CheckOptions.Window"/>). What is kept grows with intervals and messages in flight; only where the
/// trace announces rollbacks are delivered messages kept too, up to the same line.
/// </para>
/// <para>One thread at a time.</para>
/// </remarks>
public sealed partial class TraceChecker
{
    private readonly TraceHeader _header;
    private readonly CheckOptions _options;
    private readonly ProtocolTraits? _traits;
    private readonly History[] _histories;
    private readonly Dictionary<long, Message> _messages = [];
    private readonly Dictionary<FindingKind, long> _counts = [];
    private readonly List<Finding> _findings = [];
    private readonly List<CheckpointId> _uselessShown = [];

    // Each lost node with one that has its domains.
    private readonly HashSet<(int Lost, int Host)> _adoptions = [];
    private readonly bool _clocks;
    private Tally _tally;
    private long _kept;
    private long _window;
    private bool _settled;
    private bool _completed;

    /// <summary>Makes a checker.</summary>
    /// <param name="header">The run.</param>
    /// <param name="options">What to do; null for the defaults.</param>
    /// <exception cref="ArgumentException">The given line has not one ordinal of at least 0 for each node.</exception>
    public TraceChecker(TraceHeader header, CheckOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(header);
        _header = header;
        _options = options ?? new CheckOptions();
        if (_options.Line is { } line && (line.Count != header.Nodes || line.Any(ordinal => ordinal < 0)))
        {
            throw new ArgumentException(
                $"the line has {line.Count} ordinals; the trace has {header.Nodes} nodes, and each needs one of at least 0",
                nameof(options));
        }

        _traits = ProtocolFamily.All.FirstOrDefault(traits => traits.Name == header.Protocol);
        _clocks = header.Nodes <= _options.VectorClockNodes;
        _window = Math.Max(1, _options.Window);
        _histories = new History[header.Nodes];
        for (int i = 0; i < _histories.Length; i++)
        {
            _histories[i] = new History(header.Nodes, _clocks, header.Rollbacks);
            if (_histories[i].Clock is { } clock)
            {
                clock[i] = 1;
            }
        }
    }

    /// <summary>Judges a whole trace.</summary>
    /// <param name="input">The trace, of either form.</param>
    /// <param name="options">What to do; null for the defaults.</param>
    /// <exception cref="TraceException">The trace is cut, damaged or impossible; the message names the byte or line.
    /// </exception>
    /// <exception cref="ArgumentException">The given line has not one ordinal of at least 0 for each node.</exception>
    /// <exception cref="InvalidOperationException">It has a checkpoint that its node never took.</exception>
    public static CheckReport Check(Stream input, CheckOptions? options = null)
    {
        TraceReader reader = TraceReader.Open(input);
        TraceChecker checker = new(reader.Header, options);
        try
        {
            while (reader.TryRead(out TraceEvent item))
            {
                checker.Add(item);
            }
        }
        catch (ImpossibleEventException e)
        {
            throw new TraceException($"{reader.Position}: {e.Message}", e);
        }

        return checker.Complete();
    }

    /// <summary>Takes the next event.</summary>
    /// <param name="item">What happened.</param>
    /// <exception cref="ImpossibleEventException">It cannot happen after what happened before.</exception>
    public void Add(in TraceEvent item)
    {
        if ((uint)item.Node >= (uint)_histories.Length)
        {
            throw new ImpossibleEventException($"node {item.Node} of a run that has {_histories.Length}");
        }

        _tally.Records++;
        History history = _histories[item.Node];
        if (history.Failed && item.Kind is not (TraceEventKind.Rollback or TraceEventKind.Failure or TraceEventKind.Lost))
        {
            history.Failed = false;
            Report(FindingKind.ActsAfterFailure, $"node {item.Node} acts after its failure without a rollback");
        }

        switch (item.Kind)
        {
            case TraceEventKind.Basic:
                _tally.Basic++;
                Checkpoint(history, item);
                break;
            case TraceEventKind.Forced:
                _tally.Forced++;
                Checkpoint(history, item);
                break;
            case TraceEventKind.Other:
                _tally.Other++;
                Checkpoint(history, item);
                break;
            case TraceEventKind.CheckpointFailed:
                _tally.CheckpointsFailed++;
                break;
            case TraceEventKind.Send:
                Send(history, item);
                break;
            case TraceEventKind.Receive:
                Receive(history, item, logged: false);
                break;
            case TraceEventKind.ReceiveLogged:
                Receive(history, item, logged: true);
                break;
            case TraceEventKind.Lost:
                Lost(item);
                break;
            case TraceEventKind.IndexRaised:
                Raise(history, item.Index);
                break;
            case TraceEventKind.Failure:
                _tally.Failures++;
                history.Failed = true;
                break;
            case TraceEventKind.Rollback:
                RollBack(history, item);
                break;
            case TraceEventKind.Adoption:
                _ = _adoptions.Add((item.Peer, item.Node));
                break;
            default:
                throw new ImpossibleEventException($"no kind of event has number {(int)item.Kind}");
        }
    }

    // In dependencies: a vector clock of n numbers is as large as n / 8 of them.
    private int IntervalCost => _clocks ? 1 + (_histories.Length / 8) : 1;

    private void Checkpoint(History history, in TraceEvent item)
    {
        if (item.Index < history.OpenReach)
        {
            Report(
                FindingKind.LabelFell,
                $"node {item.Node}: a checkpoint with label {item.Index} where the index was {history.OpenReach}");
        }

        CloseInterval(item.Node, history);
        history.Checkpoint(item.Index);
        _kept += IntervalCost;
        if (history.Clock is { } clock)
        {
            history.Clocks!.Add((int[])clock.Clone());
            clock[item.Node] = history.OpenId;
        }

        if (_kept >= _window)
        {
            Settle();
        }
    }

    private void Send(History history, in TraceEvent item)
    {
        if ((uint)item.Peer >= (uint)_histories.Length)
        {
            throw new ImpossibleEventException($"a message to node {item.Peer} of a run that has {_histories.Length}");
        }

        // An index that rises at a send has risen before it.
        Raise(history, item.Index);
        Message message = new()
        {
            From = item.Node,
            To = item.Peer,
            SentIn = history.OpenId,
            Reach = history.OpenReach,
            IntervalReach = history.OpenReach,
            Clock = history.Clock is null ? null : (int[])history.Clock.Clone(),
        };
        if (!_messages.TryAdd(item.Message, message))
        {
            throw new ImpossibleEventException($"message {item.Message} is sent a second time; each needs a number of its own");
        }

        _tally.Sends++;
    }

    private void Receive(History history, in TraceEvent item, bool logged)
    {
        ref Message message = ref CollectionsMarshal.GetValueRefOrNullRef(_messages, item.Message);
        if (System.Runtime.CompilerServices.Unsafe.IsNullRef(ref message))
        {
            throw new ImpossibleEventException(
                $"message {item.Message} is delivered, and was not sent before or was delivered already");
        }

        if (message.To != item.Node && !_adoptions.Contains((message.To, item.Node)))
        {
            throw new ImpossibleEventException($"message {item.Message} to node {message.To} is delivered at node {item.Node}");
        }

        _tally.Receives++;
        Raise(history, item.Index);
        History sender = _histories[message.From];
        bool ghost = message.SendUndone || (_header.Rollbacks && sender.Undone(message.SentIn));
        bool again = message.ReceivedIn > 0 && !_histories[message.At].Undone(message.ReceivedIn);
        if (ghost)
        {
            Report(FindingKind.Ghost, $"node {item.Node}: message {item.Message} of node {message.From} is delivered after its sending was undone");
        }
        else if (again)
        {
            Report(FindingKind.Duplicate, $"node {item.Node}: message {item.Message} of node {message.From} is delivered twice");
        }

        if (_header.Line == LineRule.FirstAtLeast && !ghost && message.Reach > history.OpenReach)
        {
            Orphan(message.From, message.Reach, item.Node, history.OpenReach);
        }

        bool notLogged = _header.ChannelLogs && !logged;
        history.Depend(new Dependency
        {
            From = ghost ? ~message.From : message.From,
            FromId = message.SentIn,
            FromReach = message.IntervalReach,
            ToId = history.OpenId,
            NotLoggedId = notLogged ? message.SentIn : int.MaxValue,
            NotLoggedReach = notLogged ? message.Reach : long.MaxValue,
        });
        _kept++;
        if (history.Clock is { } clock && message.Clock is { } sent)
        {
            for (int i = 0; i < clock.Length; i++)
            {
                clock[i] = Math.Max(clock[i], sent[i]);
            }
        }

        if (!_header.Rollbacks)
        {
            _ = _messages.Remove(item.Message);
        }
        else if (!again)
        {
            // Of two deliveries at a node no rollback undoes the first alone.
            message.ReceivedIn = history.OpenId;
            message.At = item.Node;
        }
    }

    private void Lost(in TraceEvent item)
    {
        if (!_messages.Remove(item.Message))
        {
            throw new ImpossibleEventException(
                $"message {item.Message} is lost, and was not sent before or was delivered already");
        }

        _tally.Lost++;
    }

    private void Raise(History history, long index)
    {
        if (_header.Line == LineRule.LastBeforeReaching)
        {
            history.Raise(index);
        }
    }

    private void RollBack(History history, in TraceEvent item)
    {
        if (!_header.Rollbacks)
        {
            throw new ImpossibleEventException("a rollback in a trace whose header announces none");
        }

        if (item.Ordinal > history.LastOrdinal)
        {
            throw new ImpossibleEventException(
                $"node {item.Node} rolls back to checkpoint {item.Ordinal}; its last one is {history.LastOrdinal}");
        }

        if (item.Ordinal < history.Base)
        {
            throw new ImpossibleEventException(
                $"node {item.Node} rolls back to checkpoint {item.Ordinal}, before {history.Base}, where it was judged for good; check with a larger window");
        }

        _tally.Rollbacks++;
        _tally.Undone += history.LastOrdinal - item.Ordinal;
        history.Failed = false;
        CloseInterval(item.Node, history);
        history.RollBack(item.Ordinal, _header.Line == LineRule.LastBeforeReaching ? item.Index : 0);
        if (history.Clock is { } clock)
        {
            clock[item.Node] = history.OpenId;
        }
    }

    private void Report(FindingKind kind, string text, bool whole = false)
    {
        long count = _counts.GetValueOrDefault(kind) + 1;
        _counts[kind] = count;
        if (count <= _options.FindingsShown)
        {
            _findings.Add(new Finding(kind, text, whole ? 0 : _tally.Records));
        }
    }

    /// <summary>A message that may still be delivered, or whose delivery may still be undone.</summary>
    [StructLayout(LayoutKind.Auto)]
    private struct Message
    {
        internal int From;
        internal int To;
        internal int SentIn;

        // The interval that received it, and whose it is; 0 for none, and -1 for one found undone.
        internal int ReceivedIn;
        internal int At;

        // The sending interval was found undone.
        internal bool SendUndone;

        // How far the sending interval reaches: at the send, and as far as is known where the interval is not kept any more.
        internal long Reach;
        internal long IntervalReach;
        internal int[]? Clock;
    }
}

/// <summary>An event cannot happen after those before it: what was recorded is no run.</summary>
public sealed class ImpossibleEventException : Exception
{
    /// <summary>Makes the exception.</summary>
    /// <param name="message">One line.</param>
    public ImpossibleEventException(string message)
        : base(message)
    {
    }
}
