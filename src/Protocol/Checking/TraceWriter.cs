using System.Buffers.Binary;
using System.Text;
using System.Text.Json;

namespace XenTwoLevelCkpt.Protocol.Checking;

/// <summary>Writes a trace: events in an order in which each delivery follows its send and each node's events follow one
/// another. A trace is whole only after <see cref="Complete"/>: one that was cut short is recognized. One thread at a
/// time.</summary>
public abstract class TraceWriter : IDisposable
{
    private protected TraceWriter(TraceHeader header, Stream output)
    {
        ArgumentNullException.ThrowIfNull(header);
        ArgumentNullException.ThrowIfNull(output);
        ArgumentOutOfRangeException.ThrowIfLessThan(header.Nodes, 1, nameof(header));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(header.Nodes, TraceHeader.MaxNodes, nameof(header));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(Encoding.UTF8.GetByteCount(header.Protocol), byte.MaxValue, nameof(header));
        Header = header;
        Output = output;
    }

    /// <summary>What the trace says of itself.</summary>
    public TraceHeader Header { get; }

    /// <summary>Records written so far.</summary>
    public long Records { get; private protected set; }

    private protected Stream Output { get; }

    /// <summary>Begins a trace.</summary>
    /// <param name="output">Where to; stays open.</param>
    /// <param name="header">What the trace says of itself.</param>
    /// <param name="jsonLines">True for the JSON form, about ten times the size.</param>
    public static TraceWriter Create(Stream output, TraceHeader header, bool jsonLines = false) =>
        jsonLines ? new JsonTraceWriter(header, output) : new BinaryTraceWriter(header, output);

    /// <summary>Writes a record.</summary>
    /// <param name="item">What happened.</param>
    /// <exception cref="ArgumentException">A number is below 0 or too great, a node is not there, or the kind is unknown:
    /// nothing is written.</exception>
    public abstract void Write(in TraceEvent item);

    /// <summary>Gives what is buffered to the stream, and flushes that: a writer that is killed then loses nothing of it. In
    /// the binary form each call that has something to write ends a block, 8 bytes.</summary>
    public abstract void Flush();

    /// <summary>Writes the end of the trace and flushes the stream.</summary>
    public abstract void Complete();

    /// <summary>Gives up what is buffered. A trace that was not completed stays cut.</summary>
    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    private protected void Require(in TraceEvent item)
    {
        if ((uint)item.Node >= (uint)Header.Nodes || (uint)item.Peer >= (uint)Header.Nodes
            || (item.Message | item.Index | item.Ordinal) < 0 || item.Message > TraceEvent.MaxMessage
            || item.Kind is < TraceEventKind.Basic or > TraceEventKind.Adoption)
        {
            throw new ArgumentException($"{item} is no event of a run of {Header.Nodes} nodes", nameof(item));
        }
    }

    /// <summary>Gives up what is buffered.</summary>
    /// <param name="disposing">True where called by <see cref="Dispose()"/>.</param>
    protected virtual void Dispose(bool disposing)
    {
    }
}

/// <summary>The binary form.</summary>
internal sealed class BinaryTraceWriter : TraceWriter
{
    private readonly byte[] _block = new byte[TraceFormat.BlockHeader + TraceFormat.MaxBlock];
    private int _length = TraceFormat.BlockHeader;
    private long _lastMessage = -1;

    /// <summary>Goes on with a trace that has its header, and so many records, in the stream.</summary>
    internal BinaryTraceWriter(TraceHeader header, Stream output, long records)
        : base(header, output) => Records = records;

    internal BinaryTraceWriter(TraceHeader header, Stream output)
        : base(header, output)
    {
        byte[] name = Encoding.UTF8.GetBytes(header.Protocol);
        byte[] bytes = new byte[TraceFormat.FixedHeader + name.Length + sizeof(uint)];
        TraceFormat.Magic.CopyTo(bytes);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(8), TraceFormat.Version);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(10), (ushort)(
            (header.Rollbacks ? TraceFormat.RollbacksFlag : 0) | (header.ChannelLogs ? TraceFormat.ChannelLogsFlag : 0)));
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(12), (uint)header.Nodes);
        bytes[16] = (byte)header.Line;
        bytes[19] = (byte)name.Length;
        name.CopyTo(bytes, TraceFormat.FixedHeader);
        int checkedLength = bytes.Length - sizeof(uint);
        BinaryPrimitives.WriteUInt32LittleEndian(
            bytes.AsSpan(checkedLength), TraceFormat.Crc32C(bytes.AsSpan(0, checkedLength)));
        output.Write(bytes);
    }

    public override void Write(in TraceEvent item)
    {
        Require(item);
        if (_length > _block.Length - TraceFormat.MaxRecord)
        {
            EndBlock();
        }

        _block[_length++] = (byte)item.Kind;
        Number((ulong)item.Node);
        switch (item.Kind)
        {
            case TraceEventKind.Basic or TraceEventKind.Forced or TraceEventKind.Other or TraceEventKind.IndexRaised:
                Number((ulong)item.Index);
                break;
            case TraceEventKind.Send:
                Number((ulong)item.Peer);
                Message(item.Message);
                Number((ulong)item.Index);
                break;
            case TraceEventKind.Receive or TraceEventKind.ReceiveLogged:
                Message(item.Message);
                Number((ulong)item.Index);
                break;
            case TraceEventKind.Lost:
                Message(item.Message);
                break;
            case TraceEventKind.Rollback:
                Number((ulong)item.Ordinal);
                Number((ulong)item.Index);
                break;
            case TraceEventKind.Adoption:
                Number((ulong)item.Peer);
                break;
            default:
                break;
        }

        Records++;
    }

    public override void Flush()
    {
        EndBlock();
        Output.Flush();
    }

    public override void Complete()
    {
        EndBlock();
        Span<byte> end = stackalloc byte[TraceFormat.BlockHeader + sizeof(ulong)];
        BinaryPrimitives.WriteUInt64LittleEndian(end[TraceFormat.BlockHeader..], (ulong)Records);
        BinaryPrimitives.WriteUInt32LittleEndian(end, 0);
        BinaryPrimitives.WriteUInt32LittleEndian(end[4..], TraceFormat.Crc32C(end[TraceFormat.BlockHeader..]));
        Output.Write(end);
        Output.Flush();
    }

    // Messages are numbered mostly in the order of sending: the distance to the last one named is short.
    private void Message(long message)
    {
        long distance = message - _lastMessage;
        _lastMessage = message;
        Number((ulong)((distance << 1) ^ (distance >> 63)));
    }

    private void Number(ulong value)
    {
        while (value >= 0x80)
        {
            _block[_length++] = (byte)(value | 0x80);
            value >>= 7;
        }

        _block[_length++] = (byte)value;
    }

    private void EndBlock()
    {
        int payload = _length - TraceFormat.BlockHeader;
        if (payload == 0)
        {
            return;
        }

        BinaryPrimitives.WriteUInt32LittleEndian(_block, (uint)payload);
        BinaryPrimitives.WriteUInt32LittleEndian(
            _block.AsSpan(4), TraceFormat.Crc32C(_block.AsSpan(TraceFormat.BlockHeader, payload)));
        Output.Write(_block, 0, _length);
        _length = TraceFormat.BlockHeader;

        // Each block can be read by itself.
        _lastMessage = -1;
    }
}

/// <summary>The JSON form: one object a line.</summary>
internal sealed class JsonTraceWriter : TraceWriter
{
    private static readonly JsonWriterOptions Options = new() { SkipValidation = true };
    private static readonly byte[] NewLine = "\n"u8.ToArray();
    private readonly Utf8JsonWriter _json;

    internal JsonTraceWriter(TraceHeader header, Stream output)
        : base(header, output)
    {
        _json = new Utf8JsonWriter(output, Options);
        _json.WriteStartObject();
        _json.WriteString("type", "xtl-trace");
        _json.WriteNumber("version", TraceFormat.Version);
        _json.WriteNumber("nodes", header.Nodes);
        _json.WriteString("protocol", header.Protocol);
        _json.WriteString("line", header.Line.Name());
        _json.WriteBoolean("rollbacks", header.Rollbacks);
        _json.WriteBoolean("channelLogs", header.ChannelLogs);
        EndLine();
    }

    public override void Write(in TraceEvent item)
    {
        Require(item);
        _json.WriteStartObject();
        _json.WriteString("type", item.Kind.Name());
        _json.WriteNumber("node", item.Node);
        if (item.Kind == TraceEventKind.Send)
        {
            _json.WriteNumber("to", item.Peer);
        }

        if (item.Kind == TraceEventKind.Adoption)
        {
            _json.WriteNumber("lost", item.Peer);
        }

        if (item.Kind is TraceEventKind.Send or TraceEventKind.Receive or TraceEventKind.ReceiveLogged or TraceEventKind.Lost)
        {
            _json.WriteNumber("message", item.Message);
        }

        if (item.Kind == TraceEventKind.Rollback)
        {
            _json.WriteNumber("checkpoint", item.Ordinal);
        }

        if (item.Kind is not (TraceEventKind.CheckpointFailed or TraceEventKind.Failure or TraceEventKind.Lost
            or TraceEventKind.Adoption))
        {
            _json.WriteNumber("index", item.Index);
        }

        EndLine();
        Records++;
    }

    public override void Flush() => Output.Flush();

    public override void Complete()
    {
        _json.WriteStartObject();
        _json.WriteString("type", "end");
        _json.WriteNumber("records", Records);
        EndLine();
        Output.Flush();
    }

    protected override void Dispose(bool disposing)
    {
        _json.Reset();
        _json.Dispose();
        base.Dispose(disposing);
    }

    private void EndLine()
    {
        _json.WriteEndObject();
        _json.Flush();
        Output.Write(NewLine);
        _json.Reset();
    }
}
