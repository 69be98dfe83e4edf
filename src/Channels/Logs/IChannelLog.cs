namespace XenTwoLevelCkpt.Channels;

/// <summary>The channel log as the channels see it.</summary>
internal interface IChannelLog
{
    /// <summary>True where the log is of an earlier life of the node.</summary>
    bool WasUsed { get; }

    /// <summary>The incarnation that began last.</summary>
    int Incarnation { get; }

    /// <summary>Records that are on disk.</summary>
    long Committed { get; }

    /// <summary>Why nothing is written any more; null while all is well.</summary>
    Exception? Failure { get; }

    /// <summary>Appends a batch, which is copied.</summary>
    /// <param name="entry">The batch.</param>
    /// <returns>Its number: it is on disk once <see cref="Committed"/> has reached it.</returns>
    long Append(in LoggedBatch entry);

    /// <summary>Notes that an incarnation begins and the node goes on.</summary>
    /// <param name="incarnation">The incarnation.</param>
    /// <returns>The record's number.</returns>
    long Begin(int incarnation);

    /// <summary>Notes that the node goes back to a checkpoint.</summary>
    /// <param name="incarnation">The incarnation that begins.</param>
    /// <param name="member">The checkpoint's ordinal.</param>
    /// <param name="line">k.</param>
    /// <returns>The record's number.</returns>
    long RollBack(int incarnation, long member, long line);

    /// <summary>Returns once everything that was appended is on disk.</summary>
    /// <exception cref="IOException">It cannot be written.</exception>
    void Commit();

    /// <summary>The batches that are delivered again when the node goes back to a checkpoint.</summary>
    /// <param name="line">k.</param>
    /// <param name="member">The checkpoint's ordinal.</param>
    /// <exception cref="IOException">The log cannot be read, or what was appended cannot be written.</exception>
    IEnumerable<LoggedBatch> Replay(long line, long member);

    /// <summary>The same of a node that is lost, whose log nobody writes any more.</summary>
    /// <param name="directory">Its log.</param>
    /// <param name="line">k.</param>
    /// <param name="member">The checkpoint's ordinal.</param>
    /// <exception cref="InvalidDataException">A file other than the last is damaged or missing.</exception>
    /// <exception cref="IOException">The files cannot be read.</exception>
    IEnumerable<LoggedBatch> ReplayLost(string directory, long line, long member);
}
