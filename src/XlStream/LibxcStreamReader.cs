using System.Buffers.Binary;

namespace XenTwoLevelCkpt.XlStream;

/// <summary>Reads a libxc stream, as <c>xc_domain_save</c> writes it, once and forwards.</summary>
/// <remarks>
/// <para>Reads from the image header to END and not a byte further; the stream may be a pipe. Memory is bounded: a
/// PAGE_DATA record is passed on in parts of at most 1024 pages.</para>
/// <para>Judged as strictly as Xen's verify-stream-v2 does: reserved fields and padding must be zero, and what
/// every saver writes must be there. Streams of version 3 (Xen 4.14 and later), little-endian, plain: CHECKPOINT and
/// records of COLO are rejected. Unknown records are rejected where they are mandatory, and skipped where they are
/// optional. Pages after VERIFY repeat what came before and are not passed on.</para>
/// </remarks>
public sealed class LibxcStreamReader
{
    private readonly StreamInput _input;
    private bool _started;

    /// <summary>Creates a reader; reads nothing yet.</summary>
    /// <param name="stream">A stream at the image header. It is not closed.</param>
    public LibxcStreamReader(Stream stream)
        : this(new StreamInput(stream ?? throw new ArgumentNullException(nameof(stream))))
    {
    }

    internal LibxcStreamReader(StreamInput input) => _input = input;

    /// <summary>Bytes read.</summary>
    public long Offset => _input.Offset;

    /// <summary>Reads up to END.</summary>
    /// <param name="visitor">Receives what is read. Its exceptions end the reading and are thrown on.</param>
    /// <exception cref="XlStreamException">The stream is damaged, cut, or not readable here. What the visitor received
    /// must not be used.</exception>
    /// <exception cref="InvalidOperationException">This was called before.</exception>
    public void ReadToEnd(XlVisitor visitor)
    {
        ArgumentNullException.ThrowIfNull(visitor);
        if (_started)
        {
            throw new InvalidOperationException("A stream is read once.");
        }

        _started = true;
        ReadImageHeader();
        XlGuestKind kind = ReadDomainHeader(visitor);
        var order = new RecordOrder(kind);
        var records = new RecordDecoder(_input, visitor, order);
        PageDecoder? pages = null;
        while (true)
        {
            RecordHead head = _input.ReadHead("the header of a libxc record");
            var type = (LibxcRecordType)head.Type;
            if (!order.Accept(head))
            {
                _input.Skip(head.Length, "an optional record");
                continue;
            }

            if (type == LibxcRecordType.PageData)
            {
                pages ??= new PageDecoder(_input, visitor, order);
                pages.Read(head);
                continue;
            }

            records.Read(head);
            if (type == LibxcRecordType.End)
            {
                return;
            }
        }
    }

    private void ReadImageHeader()
    {
        long at = Offset;
        Span<byte> header = stackalloc byte[LibxcFormat.ImageHeaderSize];
        _input.Read(header, "the image header");
        StreamInput.Demand(
            BinaryPrimitives.ReadUInt64BigEndian(header), LibxcFormat.Marker, at, "an image header with a marker");
        StreamInput.Demand(BinaryPrimitives.ReadUInt32BigEndian(header[8..]), LibxcFormat.Id, at + 8, "an image id");
        StreamInput.Demand(
            BinaryPrimitives.ReadUInt32BigEndian(header[12..]), LibxcFormat.Version, at + 12, "a stream version");
        StreamInput.Demand<ushort>(
            BinaryPrimitives.ReadUInt16BigEndian(header[16..]), 0, at + 16, "image options (little-endian)");
        StreamInput.Demand<ushort>(BinaryPrimitives.ReadUInt16BigEndian(header[18..]), 0, at + 18, "a reserved field");
        StreamInput.Demand<uint>(BinaryPrimitives.ReadUInt32BigEndian(header[20..]), 0, at + 20, "a reserved field");
    }

    private XlGuestKind ReadDomainHeader(XlVisitor visitor)
    {
        long at = Offset;
        Span<byte> header = stackalloc byte[LibxcFormat.DomainHeaderSize];
        _input.Read(header, "the domain header");
        uint type = BinaryPrimitives.ReadUInt32LittleEndian(header);
        StreamInput.Demand(
            type is (uint)XlGuestKind.Pv or (uint)XlGuestKind.Hvm, at, "a domain type of 1 (PV) or 2 (HVM)", $"{type}");
        StreamInput.Demand(
            BinaryPrimitives.ReadUInt16LittleEndian(header[4..]), (ushort)LibxcFormat.PageShift, at + 4, "a page shift");
        StreamInput.Demand<ushort>(BinaryPrimitives.ReadUInt16LittleEndian(header[6..]), 0, at + 6, "a reserved field");

        // XENVER_version gives 16 bits for each.
        uint major = BinaryPrimitives.ReadUInt32LittleEndian(header[8..]);
        uint minor = BinaryPrimitives.ReadUInt32LittleEndian(header[12..]);
        StreamInput.Demand(
            major <= ushort.MaxValue && minor <= ushort.MaxValue, at + 8, "a release of Xen", $"{major}.{minor}");
        visitor.OnDomain((XlGuestKind)type, (int)major, (int)minor);
        return (XlGuestKind)type;
    }
}
