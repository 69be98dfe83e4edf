namespace XenTwoLevelCkpt.Protocol.Checking;

/// <summary>The trace of one node in a file, in the binary form, over any number of lives of the node's process: a file that a
/// killed process left is cut behind its last whole block, and goes on. Disposing writes the trace's end, which the next life
/// takes away again.</summary>
/// <remarks>One thread at a time. What was written since the last <see cref="Flush"/> is lost with the process; after it
/// nothing is, unless the host itself goes down.</remarks>
public sealed class TraceFile : IDisposable
{
    private readonly Stream _file;
    private readonly TraceWriter _writer;
    private bool _dirty;

    private TraceFile(Stream file, TraceWriter writer, long ordinal)
    {
        _file = file;
        _writer = writer;
        Ordinal = ordinal;
    }

    /// <summary>The ordinal of the node's last checkpoint in the trace, 0 for the initial one.</summary>
    public long Ordinal { get; private set; }

    /// <summary>Records in the trace.</summary>
    public long Records => _writer.Records;

    /// <summary>Opens a trace, or begins it.</summary>
    /// <param name="path">The file.</param>
    /// <param name="header">What the trace says of itself.</param>
    /// <exception cref="TraceException">There is a file, and it is no trace of this run, or it is damaged and not just cut.
    /// </exception>
    /// <exception cref="IOException">It cannot be opened.</exception>
    public static TraceFile Open(string path, TraceHeader header)
    {
        ArgumentNullException.ThrowIfNull(header);
        return Open(new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read), path, header);
    }

    /// <summary>Opens a trace, or begins it where there are no octets yet.</summary>
    /// <param name="file">The octets, to read, write and seek; belongs to the trace from now on.</param>
    /// <param name="name">What an error calls it.</param>
    /// <param name="header">What the trace says of itself.</param>
    /// <exception cref="TraceException">It is no trace of this run, or it is damaged and not just cut.</exception>
    /// <exception cref="IOException">It cannot be read or written.</exception>
    public static TraceFile Open(Stream file, string name, TraceHeader header)
    {
        ArgumentNullException.ThrowIfNull(file);
        ArgumentNullException.ThrowIfNull(header);
        try
        {
            if (file.Length == 0)
            {
                var created = new TraceFile(file, TraceWriter.Create(file, header), 0);
                file.Flush();
                return created;
            }

            if (TraceReader.Open(file) is not BinaryTraceReader reader || reader.Header != header)
            {
                throw new TraceException($"{name} is a trace of another run, or in the JSON form");
            }

            (long records, long ordinal) = ReadWhole(reader);
            file.SetLength(reader.WholeThrough);
            file.Position = reader.WholeThrough;
            return new TraceFile(file, new BinaryTraceWriter(header, file, records), ordinal);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Writes a record.</summary>
    /// <param name="item">What happened.</param>
    /// <exception cref="ArgumentException">It is no event of this run.</exception>
    public void Write(in TraceEvent item)
    {
        _writer.Write(item);
        _dirty = true;
        Ordinal = item.Kind == TraceEventKind.Rollback ? item.Ordinal : Ordinal + (item.IsCheckpoint ? 1 : 0);
    }

    /// <summary>Gives what was written to the kernel.</summary>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public void Flush()
    {
        if (_dirty)
        {
            _writer.Flush();
            _dirty = false;
        }
    }

    /// <summary>Closes the file without the trace's end: it stays cut.</summary>
    public void Abandon()
    {
        _writer.Dispose();
        _file.Dispose();
    }

    /// <summary>Writes the end of the trace.</summary>
    public void Dispose()
    {
        _writer.Complete();
        _writer.Dispose();
        _file.Dispose();
    }

    // The records of whole blocks.
    private static (long Records, long Ordinal) ReadWhole(BinaryTraceReader reader)
    {
        long ordinal = 0;
        try
        {
            while (reader.TryRead(out TraceEvent item))
            {
                ordinal = item.Kind == TraceEventKind.Rollback ? item.Ordinal : ordinal + (item.IsCheckpoint ? 1 : 0);
            }
        }
        catch (TraceException) when (reader.IsBetweenBlocks)
        {
            // The process was killed within a write.
        }

        return (reader.Records, ordinal);
    }
}
