using System.Buffers;
using Microsoft.Win32.SafeHandles;
using XenTwoLevelCkpt.NativeInterop.Files;
using XenTwoLevelCkpt.Protocol.Recovery;

namespace XenTwoLevelCkpt.Channels;

/// <summary>
/// The batches that a node delivered and that cross a line it may go back to (<see cref="CrossingMessages"/>), on disk in
/// the order of their delivery. Files are only appended to, and removed as a whole once all they hold is garbage.
/// </summary>
/// <remarks>Thread-safe. What is appended is written and synced by a thread of the log's own, all that is there at a time
/// with one sync. docs/protocol.md specifies the files.</remarks>
public sealed class ChannelLog : IChannelLog, IDisposable
{
    /// <summary>A file's length at which the next one begins, unless told otherwise: 64 MiB. Garbage goes by whole files.
    /// </summary>
    public const long DefaultSegmentLength = 64 << 20;

    private readonly object _lock = new();
    private readonly string _directory;
    private readonly long _segmentLength;
    private readonly List<LogSegment> _segments;
    private readonly Thread _writer;
    private ArrayBufferWriter<byte> _filling = new();
    private ArrayBufferWriter<byte> _writing = new();
    private SafeFileHandle? _file;
    private long _fillingDeliveredAfter = -1;
    private long _writingDeliveredAfter = -1;
    private bool _disposed;

    private ChannelLog(string directory, long segmentLength, List<LogSegment> segments)
    {
        _directory = directory;
        _segmentLength = segmentLength;
        _segments = segments;
        _writer = new Thread(WriteUntilDisposed) { IsBackground = true, Name = "channel log" };
    }

    /// <summary>True where the log is of an earlier life of the node: it has delivered, or may have, what its state does not
    /// show any more, and has to go through a recovery before it takes part again.</summary>
    public bool WasUsed { get; private set; }

    /// <summary>The incarnation that began last.</summary>
    public int Incarnation { get; private set; }

    /// <summary>Records that were appended.</summary>
    public long Appended { get; private set; }

    /// <summary>Records of those that are on disk.</summary>
    public long Committed { get; private set; }

    /// <summary>Octets on disk.</summary>
    public long Length
    {
        get
        {
            lock (_lock)
            {
                return _segments.Sum(segment => segment.Length);
            }
        }
    }

    /// <summary>Why nothing is written any more; null while all is well. What a failed sync was to write may be gone from the
    /// kernel's memory, too, so there is no second attempt: the node has to be started anew, and recovered.</summary>
    public Exception? Failure { get; private set; }

    /// <summary>Called on the log's thread when records have reached the disk, and when writing has failed.</summary>
    public Action? Changed { get; set; }

    /// <summary>The files, with the octets of each that are on disk.</summary>
    internal IReadOnlyList<(string Path, long Length)> Files
    {
        get
        {
            lock (_lock)
            {
                return _segments.ConvertAll(segment => (segment.Path, segment.Length));
            }
        }
    }

    /// <summary>Called before each sync; a test may wait here.</summary>
    internal Action? Syncing { get; set; }

    /// <summary>Syncs a file; a test may look at what is lost where it does not.</summary>
    internal Action<SafeFileHandle> Sync { get; set; } = RandomAccess.FlushToDisk;

    /// <summary>Opens the log of a node, or begins it. What a crash left of a record at the end is cut.</summary>
    /// <param name="directory">Where its files are; made where it is not there.</param>
    /// <param name="segmentLength">A file's length at which the next one begins.</param>
    /// <exception cref="InvalidDataException">A file other than the last is damaged or missing.</exception>
    /// <exception cref="IOException">The files cannot be read or written.</exception>
    public static ChannelLog Open(string directory, long segmentLength = DefaultSegmentLength)
    {
        ArgumentException.ThrowIfNullOrEmpty(directory);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(segmentLength);
        _ = Directory.CreateDirectory(directory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        List<LogSegment> segments = LogSegment.List(directory);
        var log = new ChannelLog(directory, segmentLength, segments);
        for (int i = 0; i < segments.Count; i++)
        {
            LogSegment segment = segments[i];
            segment.Length = segment.Scan((record, _) => log.Note(segment, record));
            if (i < segments.Count - 1 && segment.Length != new FileInfo(segment.Path).Length)
            {
                throw LogReplay.Damaged(segment, segment.Length);
            }
        }

        if (segments.Count > 0 && segments[^1] is { Length: > 0, Version: ChannelLogFormat.Version })
        {
            segments[^1].Cut();
            log._file = File.OpenHandle(segments[^1].Path, FileMode.Open, FileAccess.Write, FileShare.Read);
        }
        else
        {
            // A file without a header is one that a crash left. One of an older version is not appended to, and what a crash left
            // of a record at its end is no damage once another one follows.
            long number = segments.Count > 0 ? segments[^1].Number : 0;
            if (segments.Count > 0 && segments[^1].Length > 0)
            {
                segments[^1].Cut();
                number++;
            }
            else
            {
                segments.RemoveRange(Math.Max(0, segments.Count - 1), Math.Min(1, segments.Count));
            }

            log.BeginSegment(number);
        }

        log._writer.Start();
        return log;
    }

    /// <summary>Appends a batch.</summary>
    /// <param name="entry">The batch; copied.</param>
    /// <returns>Its number: it is on disk once <see cref="Committed"/> has reached it.</returns>
    public long Append(in LoggedBatch entry)
    {
        lock (_lock)
        {
            if (Failure is null)
            {
                ChannelLogFormat.WriteBatch(_filling, entry);
                _fillingDeliveredAfter = Math.Max(_fillingDeliveredAfter, entry.DeliveredAfter);
            }

            return Ask();
        }
    }

    /// <summary>Notes that an incarnation begins and the node goes on.</summary>
    /// <param name="incarnation">The incarnation.</param>
    /// <returns>The record's number.</returns>
    public long Begin(int incarnation)
    {
        lock (_lock)
        {
            ChannelLogFormat.WriteBegin(_filling, incarnation);
            Incarnation = incarnation;
            return Ask();
        }
    }

    /// <summary>Notes that the node goes back to a checkpoint. Of the batches delivered since, those with an index of at
    /// least the line's are of a future that is undone; the others are delivered again, right after the checkpoint.
    /// </summary>
    /// <param name="incarnation">The incarnation that begins.</param>
    /// <param name="member">The checkpoint's ordinal.</param>
    /// <param name="line">k.</param>
    /// <returns>The record's number.</returns>
    public long RollBack(int incarnation, long member, long line)
    {
        lock (_lock)
        {
            ChannelLogFormat.WriteRollBack(_filling, incarnation, member, line);
            Incarnation = incarnation;
            return Ask();
        }
    }

    /// <summary>Waits until everything that was appended is on disk.</summary>
    /// <exception cref="IOException">It cannot be written.</exception>
    public void Commit()
    {
        lock (_lock)
        {
            long wanted = Appended;
            while (Committed < wanted && Failure is null && !_disposed)
            {
                _ = Monitor.Wait(_lock);
            }

            if (Committed < wanted)
            {
                throw new IOException("The channel log cannot be written.", Failure);
            }
        }
    }

    /// <summary>The batches that are delivered again when the node goes back to a checkpoint, in the order in which they were
    /// delivered. To be called before <see cref="RollBack"/> of that recovery.</summary>
    /// <param name="line">k.</param>
    /// <param name="member">The checkpoint's ordinal.</param>
    /// <exception cref="IOException">The files cannot be read, or what was appended cannot be written.</exception>
    public IEnumerable<LoggedBatch> Replay(long line, long member)
    {
        Commit();
        LogSegment[] segments;
        lock (_lock)
        {
            segments = [.. _segments];
        }

        return LogReplay.Batches(segments, line, member);
    }

    /// <inheritdoc/>
    IEnumerable<LoggedBatch> IChannelLog.ReplayLost(string directory, long line, long member) =>
        LogReplay.Batches(Directory.Exists(directory) ? LogSegment.List(directory) : [], line, member);

    /// <summary>Removes the files in which everything is garbage (<see cref="Garbage.IsGarbage"/>).</summary>
    /// <param name="member">The ordinal of the node's member of the safe line.</param>
    /// <exception cref="IOException">A file cannot be removed.</exception>
    public void Collect(long member)
    {
        lock (_lock)
        {
            bool removed = false;
            while (_segments.Count > 1
                && Garbage.IsGarbage(new LogEntry(0, _segments[0].LastDeliveredAfter), member))
            {
                File.Delete(_segments[0].Path);
                _segments.RemoveAt(0);
                removed = true;
            }

            if (removed)
            {
                DirectorySync.Flush(_directory);
            }
        }
    }

    /// <summary>Writes what was appended, and closes the files.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            if (_disposed)
            {
                return;
            }

            _disposed = true;
            Monitor.PulseAll(_lock);
        }

        _writer.Join();
        _file?.Dispose();
    }

    private void Note(LogSegment segment, in LogRecord record)
    {
        WasUsed = true;
        if (record.Kind == LogRecordKind.Batch)
        {
            segment.LastDeliveredAfter = Math.Max(segment.LastDeliveredAfter, record.Batch.DeliveredAfter);
        }
        else
        {
            Incarnation = record.Incarnation;
        }
    }

    private long Ask()
    {
        Appended++;
        Monitor.PulseAll(_lock);
        return Appended;
    }

    private void WriteUntilDisposed()
    {
        while (Swap() is long through)
        {
            Exception? failure = null;
            try
            {
                Write(_writing.WrittenSpan);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                failure = e;
            }

            lock (_lock)
            {
                _writing.ResetWrittenCount();
                if (failure is null)
                {
                    Committed = through;
                }

                Failure = failure;
                Monitor.PulseAll(_lock);
            }

            Changed?.Invoke();
            if (failure is not null)
            {
                return;
            }
        }
    }

    // Takes what has been appended; null where there is nothing and never will be.
    private long? Swap()
    {
        lock (_lock)
        {
            while (_filling.WrittenCount == 0)
            {
                if (_disposed)
                {
                    return null;
                }

                _ = Monitor.Wait(_lock);
            }

            if (_segments[^1].Length >= _segmentLength)
            {
                _file!.Dispose();
                _file = null;
            }

            (_filling, _writing) = (_writing, _filling);
            (_writingDeliveredAfter, _fillingDeliveredAfter) = (_fillingDeliveredAfter, -1);
            return Appended;
        }
    }

    private void Write(ReadOnlySpan<byte> octets)
    {
        if (_file is null)
        {
            long number;
            lock (_lock)
            {
                number = _segments[^1].Number + 1;
            }

            BeginSegment(number);
        }

        LogSegment segment = _segments[^1];
        RandomAccess.Write(_file!, octets, segment.Length);
        Syncing?.Invoke();
        Sync(_file!);
        lock (_lock)
        {
            segment.Length += octets.Length;
            segment.LastDeliveredAfter = Math.Max(segment.LastDeliveredAfter, _writingDeliveredAfter);
        }
    }

    private void BeginSegment(long number)
    {
        var segment = new LogSegment(_directory, number);
        _file = File.OpenHandle(segment.Path, FileMode.Create, FileAccess.Write, FileShare.Read);
        File.SetUnixFileMode(_file, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        var head = new ArrayBufferWriter<byte>();
        head.Write(ChannelLogFormat.Header());
        lock (_lock)
        {
            // The file that said so may be removed.
            if (_segments.Count > 0)
            {
                ChannelLogFormat.WriteBegin(head, Incarnation);
            }
        }

        RandomAccess.Write(_file, head.WrittenSpan, 0);
        Sync(_file);
        DirectorySync.Flush(_directory);
        segment.Length = head.WrittenCount;
        lock (_lock)
        {
            _segments.Add(segment);
        }
    }
}
