using System.Text.Json;

namespace XenTwoLevelCkpt.Protocol.Checking;

/// <summary>The JSON form.</summary>
internal sealed class JsonTraceReader : TraceReader
{
    // A line is a small object; a longer one is no trace, and must not fill the memory.
    private const int MaxLine = 4096;

    private readonly Lines _lines;
    private long _line = 1;
    private bool _ended;

    private JsonTraceReader(TraceHeader header, Lines lines)
        : base(header) => _lines = lines;

    public override string Position => $"line {_line}";

    public override bool TryRead(out TraceEvent item)
    {
        item = default;
        if (_ended)
        {
            return false;
        }

        _line++;
        using JsonDocument document = Parse(_lines.Next(_line), _line);
        JsonElement root = document.RootElement;
        string type = Text(root, "type", _line);
        if (type == "end")
        {
            long records = Whole(root, "records");
            if (records != Records)
            {
                throw new TraceException($"{Position}: {Records} records are here, {records} were written; lines are missing");
            }

            if (_lines.More())
            {
                throw new TraceException($"line {_line + 1}: something follows the end of the trace");
            }

            _ended = true;
            return false;
        }

        TraceEventKind kind = KindOf(type);
        long node = Whole(root, "node");
        RequireNode(node);
        long peer = kind switch
        {
            TraceEventKind.Send => Whole(root, "to"),
            TraceEventKind.Adoption => Whole(root, "lost"),
            _ => 0,
        };
        RequireNode(peer);
        item = new TraceEvent
        {
            Kind = kind,
            Node = (int)node,
            Peer = (int)peer,
            Message = kind is TraceEventKind.Send or TraceEventKind.Receive or TraceEventKind.ReceiveLogged or TraceEventKind.Lost
                ? MessageNumber(root) : 0,
            Index = kind is TraceEventKind.CheckpointFailed or TraceEventKind.Failure or TraceEventKind.Lost
                or TraceEventKind.Adoption ? 0 : Whole(root, "index"),
            Ordinal = kind == TraceEventKind.Rollback ? Whole(root, "checkpoint") : 0,
        };
        Records++;
        return true;
    }

    internal static JsonTraceReader Begin(Stream input)
    {
        Lines lines = new() { Input = input, Buffer = new byte[MaxLine], Length = 1 };
        lines.Buffer[0] = (byte)'{';
        using JsonDocument document = Parse(lines.Next(1), 1);
        JsonElement root = document.RootElement;
        if (Text(root, "type", 1) != "xtl-trace")
        {
            throw new TraceException("line 1: not a trace; its first line has \"type\":\"xtl-trace\"");
        }

        long version = Whole(root, "version", 1);
        if (version != TraceFormat.Version)
        {
            throw new TraceException($"line 1: version {version} of the format; this reader knows {TraceFormat.Version}");
        }

        long nodes = Whole(root, "nodes", 1);
        if (nodes is < 1 or > TraceHeader.MaxNodes)
        {
            throw new TraceException($"line 1: {nodes} nodes; 1 to {TraceHeader.MaxNodes} are possible");
        }

        TraceHeader header = new()
        {
            Nodes = (int)nodes,
            Protocol = Text(root, "protocol", 1),
            Line = RuleOf(Text(root, "line", 1)),
            Rollbacks = Flag(root, "rollbacks"),
            ChannelLogs = Flag(root, "channelLogs"),
        };
        return new JsonTraceReader(header, lines);
    }

    private static JsonDocument Parse(ReadOnlyMemory<byte> text, long line)
    {
        try
        {
            JsonDocument document = JsonDocument.Parse(text);
            if (document.RootElement.ValueKind == JsonValueKind.Object)
            {
                return document;
            }

            document.Dispose();
            throw new TraceException($"line {line}: not a JSON object");
        }
        catch (JsonException e)
        {
            throw new TraceException($"line {line}: not valid JSON at byte {e.BytePositionInLine} of the line", e);
        }
    }

    // The parser looks at the text of those members only that somebody asks for: octets that are no UTF-8, and escapes for half
    // of a surrogate pair, are found here.
    private static string Text(JsonElement root, string name, long line)
    {
        try
        {
            return root.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.String
                ? RequireName(value.GetString()!, $"line {line}")
                : throw new TraceException($"line {line}: no text \"{name}\"");
        }
        catch (InvalidOperationException e)
        {
            throw new TraceException($"line {line}: \"{name}\", or a member's name, is no Unicode text", e);
        }
    }

    private static long Whole(JsonElement root, string name, long line) =>
        root.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.Number
            && value.TryGetInt64(out long number) && number >= 0
            ? number
            : throw new TraceException($"line {line}: no whole number \"{name}\" of at least 0");

    private static bool Flag(JsonElement root, string name) =>
        root.TryGetProperty(name, out JsonElement value) && value.ValueKind is JsonValueKind.True or JsonValueKind.False
            ? value.GetBoolean()
            : throw new TraceException($"line 1: \"{name}\" is neither true nor false");

    private static LineRule RuleOf(string name)
    {
        for (LineRule rule = LineRule.FirstAtLeast; rule <= LineRule.Propagation; rule++)
        {
            if (rule.Name() == name)
            {
                return rule;
            }
        }

        throw new TraceException("line 1: \"line\" is none of first-at-least, last-before-reaching, propagation");
    }

    private long Whole(JsonElement root, string name) => Whole(root, name, _line);

    private long MessageNumber(JsonElement root)
    {
        long message = Whole(root, "message");
        return message <= TraceEvent.MaxMessage
            ? message
            : throw new TraceException($"{Position}: a message numbered {message}; 0 to {TraceEvent.MaxMessage} are possible");
    }

    private TraceEventKind KindOf(string name)
    {
        for (TraceEventKind kind = TraceEventKind.Basic; kind <= TraceEventKind.Adoption; kind++)
        {
            if (kind.Name() == name)
            {
                return kind;
            }
        }

        throw new TraceException($"{Position}: no record has this \"type\"");
    }

    /// <summary>Lines out of a stream, in one buffer.</summary>
    private sealed class Lines
    {
        internal required Stream Input { get; init; }

        internal required byte[] Buffer { get; init; }

        internal int At { get; set; }

        internal int Length { get; set; }

        internal ReadOnlyMemory<byte> Next(long line)
        {
            while (true)
            {
                int end = Buffer.AsSpan(At, Length - At).IndexOf((byte)'\n');
                if (end >= 0)
                {
                    ReadOnlyMemory<byte> text = Buffer.AsMemory(At, end);
                    At += end + 1;
                    return text;
                }

                if (!Fill())
                {
                    throw new TraceException(Length - At == Buffer.Length
                        ? $"line {line}: longer than {Buffer.Length} bytes; not a trace"
                        : $"line {line}: the trace is cut here; its last line has \"type\":\"end\"");
                }
            }
        }

        internal bool More() => At < Length || Fill();

        private bool Fill()
        {
            Buffer.AsSpan(At, Length - At).CopyTo(Buffer);
            Length -= At;
            At = 0;
            int got = Length == Buffer.Length ? 0 : Input.Read(Buffer, Length, Buffer.Length - Length);
            Length += got;
            return got > 0;
        }
    }
}
