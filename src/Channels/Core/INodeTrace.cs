using XenTwoLevelCkpt.Protocol.Checking;

namespace XenTwoLevelCkpt.Channels;

/// <summary>What a node records of its run; docs/trace-format.md. A batch is a message; its number is made of sender, receiver, origin
/// and sequence, so both ends know it.</summary>
internal interface INodeTrace
{
    /// <summary>The node begins, and the trace says nothing else of it yet.</summary>
    void Begin();

    /// <summary>A batch leaves for the first time.</summary>
    void Sent(int to, in SentBatch batch);

    /// <summary>The guests have a batch.</summary>
    void Delivered(int from, int to, int origin, long sequence, long index, bool logged);

    /// <summary>A checkpoint is saved. The record outlives the process when this returns, before a peer hears of the checkpoint.</summary>
    void Saved(TraceEventKind kind, long label);

    /// <summary>The checkpoint that was being taken is not saved.</summary>
    void Failed();

    /// <summary>The node goes on with a higher index.</summary>
    void Raised(long index);

    /// <summary>The node goes back to a checkpoint.</summary>
    /// <param name="state">The checkpoint; null for the initial one.</param>
    /// <param name="index">The node's index now.</param>
    void RolledBack(ChannelState? state, long index);

    /// <summary>What this node does for a lost one, whose own trace has ended: that one goes back to a checkpoint, and gets
    /// batches again.</summary>
    /// <param name="node">The lost node.</param>
    /// <param name="name">Its name.</param>
    /// <param name="ordinal">The checkpoint that its domains are put back to.</param>
    /// <param name="index">The lost node's index now: that of the checkpoint, or the line where its index rises without one.</param>
    /// <param name="again">The batches: sender, receiver, origin, sequence number.</param>
    /// <param name="ends">The lost nodes that what comes here from now on is for: that one, and those whose domains it had.</param>
    void Adopted(
        int node, string name, long ordinal, long index,
        IEnumerable<(int From, int To, int Origin, long Sequence)> again, IEnumerable<int> ends);

    /// <summary>Gives what was recorded to the kernel.</summary>
    void Flush();
}
