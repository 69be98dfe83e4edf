using XenTwoLevelCkpt.Protocol;
using XenTwoLevelCkpt.Protocol.Checking;

namespace XenTwoLevelCkpt.Channels;

/// <summary>What a node records of its run. A batch is a message; its number is made of sender, receiver, origin and sequence,
/// so both ends know it. Where something cannot be recorded the trace ends, and stays cut: a trace with a hole would be
/// judged wrongly.</summary>
internal sealed class NodeTrace : INodeTrace, IDisposable
{
    // Together the 61 bits of a message's number.
    private const int NodeBits = 8;
    private const int OriginBits = 12;
    private const int SequenceBits = 33;

    private readonly int _node;
    private readonly ChannelEventLog _log;
    private readonly Func<string, Stream>? _open;
    private readonly TraceHeader _header;
    private TraceFile? _file;
    private bool _continued;

    /// <summary>Goes on with what is there of the trace, or begins it.</summary>
    /// <param name="open">Opens the file with a suffix: none for this node's trace, a dot and its name for that of a lost node whose
    /// domains are here. Null where there is no trace.</param>
    /// <param name="traits">The protocol.</param>
    /// <param name="node">This node's number.</param>
    /// <param name="nodes">How many there are.</param>
    /// <param name="log">Learns of a trace that ends.</param>
    internal NodeTrace(Func<string, Stream>? open, ProtocolTraits traits, int node, int nodes, ChannelEventLog log)
    {
        _node = node;
        _log = log;
        _open = open;
        _header = TraceHeader.For(traits, nodes, rollbacks: true, channelLogs: true);
        if (open is not null)
        {
            _file = TraceFile.Open(open(""), "the trace", _header);
            _continued = _file.Records > 0;
        }
    }

    /// <summary>Opens the files of a trace.</summary>
    /// <param name="path">The node's own; null for none.</param>
    internal static Func<string, Stream>? In(string? path) => path is null
        ? null
        : suffix => new FileStream(path + suffix, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read);

    public void Sent(int to, in SentBatch batch) =>
        Write(TraceEvent.Send(_node, to, Number(_node, to, batch.Origin, batch.Sequence), batch.Index));

    public void Delivered(int from, int to, int origin, long sequence, long index, bool logged) =>
        Write(TraceEvent.Receive(_node, Number(from, to, origin, sequence), index, logged));

    /// <summary>A checkpoint is saved. It is with the kernel when this returns, before a peer hears of it: a recovery may go back
    /// to it after the node is lost.</summary>
    public void Saved(TraceEventKind kind, long label)
    {
        Write(TraceEvent.Checkpoint(kind, _node, label));
        Flush();
    }

    public void Failed() => Write(TraceEvent.CheckpointFailed(_node));

    public void Raised(long index) => Write(TraceEvent.IndexRaised(_node, index));

    /// <summary>The node goes back to a checkpoint.</summary>
    /// <param name="state">The checkpoint; null for the initial one.</param>
    /// <param name="index">The node's index now.</param>
    public void RolledBack(ChannelState? state, long index)
    {
        long ordinal = state?.Ordinal ?? 0;
        if (_continued)
        {
            // The process that wrote what is there was killed; it may have been so between the saving of a checkpoint and
            // the note of it.
            _continued = false;
            if (state is not null && _file?.Ordinal == ordinal - 1)
            {
                Saved(state.Kind, state.Protocol.Index);
            }

            Write(TraceEvent.Failure(_node));
        }

        if (_file is { } file && ordinal > file.Ordinal)
        {
            End($"it has {file.Ordinal} checkpoints, and the node goes back to the one with ordinal {ordinal}");
        }

        Write(TraceEvent.Rollback(_node, ordinal, index));
        Flush();
    }

    /// <summary>What this node does for a lost one, whose own trace has ended: that one goes back to a checkpoint, and gets
    /// batches again. It is a file of its own, with the lost node's name behind that of this node's trace.</summary>
    /// <param name="node">The lost node.</param>
    /// <param name="name">Its name.</param>
    /// <param name="ordinal">The checkpoint that its domains are put back to.</param>
    /// <param name="index">The lost node's index now.</param>
    /// <param name="again">The batches: sender, receiver, origin, sequence number.</param>
    /// <param name="ends">The lost nodes that what comes here from now on is for: that one, and those whose domains it had.</param>
    public void Adopted(
        int node, string name, long ordinal, long index,
        IEnumerable<(int From, int To, int Origin, long Sequence)> again, IEnumerable<int> ends)
    {
        foreach (int end in ends)
        {
            Write(TraceEvent.Adoption(_node, end));
        }

        if (_file is null)
        {
            return;
        }

        try
        {
            using TraceFile file = TraceFile.Open(_open!($".{name}"), $"the trace of {name}", _header);
            file.Write(TraceEvent.Rollback(node, ordinal, index));
            foreach ((int from, int to, int origin, long sequence) in again)
            {
                file.Write(TraceEvent.Receive(node, Number(from, to, origin, sequence), index, logged: true));
            }
        }
        catch (Exception e) when (e is IOException or ArgumentException or TraceException)
        {
            _log.TraceEnds($"{name}, whose domains are here now: {e.Message}");
        }
    }

    /// <summary>The node begins, and the trace says nothing else of it yet.</summary>
    public void Begin() => _continued = false;

    public void Flush()
    {
        try
        {
            _file?.Flush();
        }
        catch (IOException e)
        {
            End(e.Message);
        }
    }

    public void Dispose()
    {
        try
        {
            _file?.Dispose();
        }
        catch (IOException e)
        {
            _log.TraceEnds(e.Message);
        }

        _file = null;
    }

    private void Write(in TraceEvent item)
    {
        if (item.Message < 0)
        {
            End("a batch has a number that a trace has no room for");
            return;
        }

        try
        {
            _file?.Write(item);
        }
        catch (Exception e) when (e is IOException or ArgumentException)
        {
            End(e.Message);
        }
    }

    // -1 where there is no room for it.
    private static long Number(int from, int to, int origin, long sequence) =>
        (from | to) >> NodeBits != 0 || origin >> OriginBits != 0 || sequence >> SequenceBits != 0
            ? -1
            : (((((long)from << NodeBits) | (long)to) << OriginBits | (long)origin) << SequenceBits) | sequence;

    private void End(string reason)
    {
        if (_file is { } file)
        {
            _log.TraceEnds(reason);
            _file = null;
            file.Abandon();
        }
    }
}
