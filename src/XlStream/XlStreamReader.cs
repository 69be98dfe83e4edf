using System.Buffers.Binary;
using System.Text;

namespace XenTwoLevelCkpt.XlStream;

/// <summary>Reads a file of <c>xl save</c> once and forwards: xl header, libxl stream, libxc stream.</summary>
/// <remarks>Reads up to libxl's END and not a byte further. Judges as <see cref="LibxcStreamReader"/> does.</remarks>
public sealed class XlStreamReader
{
    private readonly StreamInput _input;
    private bool _started;

    /// <summary>Creates a reader; reads nothing yet.</summary>
    /// <param name="stream">A stream at the xl header. It is not closed.</param>
    public XlStreamReader(Stream stream)
    {
        ArgumentNullException.ThrowIfNull(stream);
        _input = new StreamInput(stream);
    }

    /// <summary>Bytes read.</summary>
    public long Offset => _input.Offset;

    /// <summary>Reads up to END.</summary>
    /// <param name="visitor">Receives what is read. Its exceptions end the reading and are thrown on.</param>
    /// <exception cref="XlStreamException">The file is damaged, cut, or not readable here. What the visitor received
    /// must not be used.</exception>
    /// <exception cref="InvalidOperationException">This was called before.</exception>
    public void ReadToEnd(XlVisitor visitor)
    {
        ArgumentNullException.ThrowIfNull(visitor);
        if (_started)
        {
            throw new InvalidOperationException("A file is read once.");
        }

        _started = true;
        ReadXlHeader(visitor);
        ReadLibxlHeader();
        bool context = false;
        while (true)
        {
            RecordHead head = _input.ReadHead("the header of a libxl record");
            switch ((LibxlRecordType)head.Type)
            {
                case LibxlRecordType.LibxcContext:
                    StreamInput.Demand(!context, head.Offset, "one libxc stream", "a second one");
                    StreamInput.Demand(head.Length, 0, head.Offset + 4, "a length");
                    new LibxcStreamReader(_input).ReadToEnd(visitor);
                    context = true;
                    break;
                case LibxlRecordType.EmulatorXenstoreData or LibxlRecordType.EmulatorContext:
                    StreamInput.Demand(context, head.Offset, "LIBXC_CONTEXT", $"{(LibxlRecordType)head.Type}");
                    ReadEmulator(head, visitor);
                    break;
                case LibxlRecordType.End:
                    StreamInput.Demand(context, head.Offset, "LIBXC_CONTEXT", "END");
                    StreamInput.Demand(head.Length, 0, head.Offset + 4, "a length");
                    return;
                default:
                    StreamInput.Demand(
                        (head.Type & LibxcFormat.OptionalBit) != 0, head.Offset, "a libxl record of a plain file",
                        $"mandatory record 0x{head.Type:x} ({(LibxlRecordType)head.Type})");
                    _input.Skip(head.Length, "an optional record");
                    break;
            }
        }
    }

    private void ReadXlHeader(XlVisitor visitor)
    {
        Span<byte> header = stackalloc byte[XlFormat.HeaderSize];
        _input.Read(header, "the xl header");
        StreamInput.Demand(header.StartsWith(XlFormat.Magic), 0, "the magic of a file of xl save", "other bytes");
        Span<byte> words = header[XlFormat.MagicSize..];
        StreamInput.Demand(
            BinaryPrimitives.ReadUInt32LittleEndian(words), XlFormat.ByteOrder, XlFormat.MagicSize, "a byte order");
        StreamInput.Demand(
            BinaryPrimitives.ReadUInt32LittleEndian(words[4..]), XlFormat.FlagJson | XlFormat.FlagStreamV2,
            XlFormat.MagicSize + 4, "mandatory flags (JSON, stream version 2)");
        StreamInput.Demand<uint>(
            BinaryPrimitives.ReadUInt32LittleEndian(words[8..]), 0, XlFormat.MagicSize + 8, "optional flags");
        uint length = BinaryPrimitives.ReadUInt32LittleEndian(words[12..]);
        StreamInput.Demand(
            length is > sizeof(uint) and <= XlFormat.MaxConfigLength, XlFormat.MagicSize + 12,
            $"optional data of at most {XlFormat.MaxConfigLength} bytes", $"{length}");
        visitor.OnConfig(ReadConfig((int)length));
    }

    // The configuration's length, the configuration, a NUL; then what later versions of xl may add.
    private string ReadConfig(int length)
    {
        Span<byte> word = stackalloc byte[sizeof(uint)];
        long at = Offset;
        _input.Read(word, "the configuration's length");
        uint size = BinaryPrimitives.ReadUInt32LittleEndian(word);
        StreamInput.Demand(
            size > 0 && size <= length - sizeof(uint), at, $"a configuration of 1 to {length - sizeof(uint)} bytes",
            $"{size}");
        at = Offset;
        ReadOnlySpan<byte> config = _input.ReadUnpadded((int)size, "the configuration");
        int end = config.IndexOf((byte)0);
        StreamInput.Demand(end == config.Length - 1, at, "a NUL at the configuration's end, and no other", $"{end}");
        string json;
        try
        {
            json = XlConfig.Utf8.GetString(config[..end]);
        }
        catch (DecoderFallbackException e)
        {
            throw new XlStreamException(at, "a configuration in UTF-8", "other bytes", e);
        }

        _input.SkipUnpadded(length - sizeof(uint) - (int)size, "the xl header's optional data");
        return json;
    }

    private void ReadLibxlHeader()
    {
        long at = Offset;
        Span<byte> header = stackalloc byte[XlFormat.LibxlHeaderSize];
        _input.Read(header, "the libxl header");
        StreamInput.Demand(
            BinaryPrimitives.ReadUInt64BigEndian(header), XlFormat.LibxlIdent, at, "a libxl header with an id");
        StreamInput.Demand(
            BinaryPrimitives.ReadUInt32BigEndian(header[8..]), XlFormat.LibxlVersion, at + 8, "a libxl stream version");
        StreamInput.Demand<uint>(
            BinaryPrimitives.ReadUInt32BigEndian(header[12..]), 0, at + 12, "options (little-endian, not converted)");
    }

    private void ReadEmulator(RecordHead head, XlVisitor visitor)
    {
        StreamInput.Demand(
            head.Length >= XlFormat.EmulatorHeaderSize, head.Offset, "an emulator's record of 8 bytes or more",
            $"{head.Length}");
        ReadOnlySpan<byte> body = _input.ReadBody(head.Length, "an emulator's record");
        visitor.OnEmulator(
            (LibxlRecordType)head.Type == LibxlRecordType.EmulatorContext,
            BinaryPrimitives.ReadUInt32LittleEndian(body),
            BinaryPrimitives.ReadUInt32LittleEndian(body[4..]),
            body[XlFormat.EmulatorHeaderSize..]);
    }
}
