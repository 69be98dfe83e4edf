using System.Buffers.Binary;
using System.Text;

namespace XenTwoLevelCkpt.Protocol.Checking;

/// <summary>Reads a trace of either form, record by record; holds one block or line at a time.</summary>
public abstract class TraceReader
{
    private protected TraceReader(TraceHeader header) => Header = header;

    /// <summary>What the trace says of itself.</summary>
    public TraceHeader Header { get; }

    /// <summary>Records read so far.</summary>
    public long Records { get; private protected set; }

    /// <summary>Where the record read last stands: "byte 1234" or "line 12".</summary>
    public abstract string Position { get; }

    /// <summary>Opens a trace and reads its header.</summary>
    /// <param name="input">From where; the form is recognized by its first byte. Stays open.</param>
    /// <exception cref="TraceException">It is not a trace, or its header is cut or damaged.</exception>
    public static TraceReader Open(Stream input)
    {
        ArgumentNullException.ThrowIfNull(input);
        int first = input.ReadByte();
        return first switch
        {
            -1 => throw new TraceException("byte 0: the trace is empty"),
            '{' => JsonTraceReader.Begin(input),
            _ => BinaryTraceReader.Begin(input, (byte)first),
        };
    }

    /// <summary>Reads the next record.</summary>
    /// <param name="item">The record.</param>
    /// <returns>False at the end of a whole trace.</returns>
    /// <exception cref="TraceException">The trace is cut or damaged here.</exception>
    public abstract bool TryRead(out TraceEvent item);

    // Text of a trace comes to terminals.
    private protected static string RequireName(string text, string where) => text.Any(char.IsControl)
        ? throw new TraceException($"{where}: text with control characters")
        : text;

    private protected void RequireNode(long node)
    {
        if (node < 0 || node >= Header.Nodes)
        {
            throw new TraceException($"{Position}: node {node} of a trace that has {Header.Nodes}");
        }
    }
}

/// <summary>The binary form.</summary>
internal sealed class BinaryTraceReader : TraceReader
{
    private readonly Stream _input;
    private readonly byte[] _block = new byte[TraceFormat.MaxBlock];
    private int _length;
    private int _at;
    private int _record;

    // Where in the stream the payload of the present block begins, and what comes after it.
    private long _blockStart;
    private long _streamAt;
    private long _lastMessage;
    private bool _ended;

    private BinaryTraceReader(TraceHeader header, Stream input, long streamAt)
        : base(header)
    {
        _input = input;
        _streamAt = streamAt;
        _blockStart = streamAt;
        WholeThrough = streamAt;
    }

    /// <summary>The end of the last whole block of records, in bytes.</summary>
    internal long WholeThrough { get; private set; }

    /// <summary>True where the records of that block have all been read.</summary>
    internal bool IsBetweenBlocks => _ended || _at == _length || _streamAt > WholeThrough;

    public override string Position => $"byte {_blockStart + _record}";

    public override bool TryRead(out TraceEvent item)
    {
        item = default;
        if (_ended || (_at == _length && !ReadBlock()))
        {
            return false;
        }

        _record = _at;
        TraceEventKind kind = (TraceEventKind)_block[_at++];
        if (kind is < TraceEventKind.Basic or > TraceEventKind.Adoption)
        {
            throw new TraceException($"{Position}: no kind of record has number {(int)kind}");
        }

        long node = Number();
        RequireNode(node);
        long peer = 0, message = 0, index = 0, ordinal = 0;
        switch (kind)
        {
            case TraceEventKind.Basic or TraceEventKind.Forced or TraceEventKind.Other or TraceEventKind.IndexRaised:
                index = Number();
                break;
            case TraceEventKind.Send:
                peer = Number();
                RequireNode(peer);
                message = Message();
                index = Number();
                break;
            case TraceEventKind.Receive or TraceEventKind.ReceiveLogged:
                message = Message();
                index = Number();
                break;
            case TraceEventKind.Lost:
                message = Message();
                break;
            case TraceEventKind.Rollback:
                ordinal = Number();
                index = Number();
                break;
            case TraceEventKind.Adoption:
                peer = Number();
                RequireNode(peer);
                break;
            default:
                break;
        }

        item = new TraceEvent
        {
            Kind = kind,
            Node = (int)node,
            Peer = (int)peer,
            Message = message,
            Index = index,
            Ordinal = ordinal,
        };
        Records++;
        return true;
    }

    internal static BinaryTraceReader Begin(Stream input, byte first)
    {
        byte[] bytes = new byte[TraceFormat.FixedHeader + byte.MaxValue + sizeof(uint)];
        bytes[0] = first;
        int got = 1 + input.ReadAtLeast(bytes.AsSpan(1, TraceFormat.FixedHeader - 1), TraceFormat.FixedHeader - 1, throwOnEndOfStream: false);
        int compared = Math.Min(got, TraceFormat.Magic.Length);
        if (!bytes.AsSpan(0, compared).SequenceEqual(TraceFormat.Magic[..compared]))
        {
            throw new TraceException("byte 0: not a trace; one begins with XTLTRACE, or with '{' in its JSON form");
        }

        int length = got < TraceFormat.FixedHeader ? TraceFormat.FixedHeader : TraceFormat.FixedHeader + bytes[19] + sizeof(uint);
        if (got == TraceFormat.FixedHeader)
        {
            got += input.ReadAtLeast(bytes.AsSpan(got, length - got), length - got, throwOnEndOfStream: false);
        }

        if (got < length)
        {
            throw new TraceException($"byte {got}: the trace is cut in its header");
        }

        int version = BinaryPrimitives.ReadUInt16LittleEndian(bytes.AsSpan(8));
        if (version != TraceFormat.Version)
        {
            throw new TraceException($"byte 8: version {version} of the format; this reader knows {TraceFormat.Version}");
        }

        if (TraceFormat.Crc32C(bytes.AsSpan(0, length - sizeof(uint)))
            != BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(length - sizeof(uint))))
        {
            throw new TraceException("byte 0: the header is damaged (its checksum differs)");
        }

        int flags = BinaryPrimitives.ReadUInt16LittleEndian(bytes.AsSpan(10));
        uint nodes = BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(12));
        if (nodes is 0 or > TraceHeader.MaxNodes)
        {
            throw new TraceException($"byte 12: {nodes} nodes; 1 to {TraceHeader.MaxNodes} are possible");
        }

        if ((flags & ~(TraceFormat.RollbacksFlag | TraceFormat.ChannelLogsFlag)) != 0)
        {
            throw new TraceException($"byte 10: flags 0x{flags:x} that this reader does not know");
        }

        if (bytes[16] > (byte)LineRule.Propagation)
        {
            throw new TraceException($"byte 16: no line rule has number {bytes[16]}");
        }

        TraceHeader header = new()
        {
            Nodes = (int)nodes,
            Protocol = RequireName(Encoding.UTF8.GetString(bytes, TraceFormat.FixedHeader, bytes[19]), "byte 20"),
            Line = (LineRule)bytes[16],
            Rollbacks = (flags & TraceFormat.RollbacksFlag) != 0,
            ChannelLogs = (flags & TraceFormat.ChannelLogsFlag) != 0,
        };
        return new BinaryTraceReader(header, input, length);
    }

    private bool ReadBlock()
    {
        Span<byte> head = stackalloc byte[TraceFormat.BlockHeader];
        Fill(head);
        uint length = BinaryPrimitives.ReadUInt32LittleEndian(head);
        uint crc = BinaryPrimitives.ReadUInt32LittleEndian(head[4..]);
        if (length > TraceFormat.MaxBlock)
        {
            throw new TraceException($"byte {_streamAt - TraceFormat.BlockHeader}: a block of {length} bytes; at most {TraceFormat.MaxBlock} are possible");
        }

        _blockStart = _streamAt;
        _record = 0;
        _at = 0;
        _lastMessage = -1;
        _ended = length == 0;
        _length = _ended ? sizeof(ulong) : (int)length;
        Fill(_block.AsSpan(0, _length));
        if (TraceFormat.Crc32C(_block.AsSpan(0, _length)) != crc)
        {
            throw new TraceException($"byte {_blockStart}: the block is damaged (its checksum differs)");
        }

        if (!_ended)
        {
            WholeThrough = _streamAt;
            return true;
        }

        ulong records = BinaryPrimitives.ReadUInt64LittleEndian(_block);
        if (records != (ulong)Records)
        {
            throw new TraceException($"byte {_blockStart}: {Records} records are here, {records} were written; blocks are missing");
        }

        if (_input.ReadByte() != -1)
        {
            throw new TraceException($"byte {_streamAt}: something follows the end of the trace");
        }

        return false;
    }

    private void Fill(Span<byte> buffer)
    {
        int got = _input.ReadAtLeast(buffer, buffer.Length, throwOnEndOfStream: false);
        _streamAt += got;
        if (got < buffer.Length)
        {
            throw new TraceException($"byte {_streamAt}: the trace is cut here; its writer was stopped, or the copy is incomplete");
        }
    }

    private long Message()
    {
        ulong value = (ulong)Number();
        long message = _lastMessage + ((long)(value >> 1) ^ -(long)(value & 1));
        if (message is < 0 or > TraceEvent.MaxMessage)
        {
            throw new TraceException($"{Position}: a message numbered {message}; 0 to {TraceEvent.MaxMessage} are possible");
        }

        _lastMessage = message;
        return message;
    }

    private long Number()
    {
        ulong value = 0;
        for (int shift = 0; shift < 63 && _at < _length; shift += 7)
        {
            byte part = _block[_at++];
            value |= (ulong)(part & 0x7F) << shift;
            if (part < 0x80)
            {
                return (long)value;
            }
        }

        throw new TraceException($"{Position}: a number has no end");
    }
}
