using System.Buffers.Binary;

namespace XenTwoLevelCkpt.XlStream;

/// <summary>The headers of the three layers, and what a writer checks before it writes them.</summary>
internal static class XlHeaders
{
    /// <summary>Checks a domain, and gives its configuration as it stands in the file, without the NUL.</summary>
    internal static byte[] Check(XlDomain domain, XlGuestKind kind)
    {
        ArgumentNullException.ThrowIfNull(domain);
        if (domain.Kind != kind)
        {
            throw new ArgumentException($"The state is that of a guest of kind {kind}, not {domain.Kind}.", nameof(domain));
        }

        // 0 would call the stream one that was converted from the legacy format.
        if (domain.XenMajor <= 0 || domain.XenMinor < 0)
        {
            throw new ArgumentException(
                $"{domain.XenMajor}.{domain.XenMinor} is no release of Xen.", nameof(domain));
        }

        XlGuestType type = XlConfig.Describe(domain.ConfigJson).Type;
        XlGuestType right = kind == XlGuestKind.Pv ? XlGuestType.Pv : XlGuestType.Pvh;
        if (type != right)
        {
            throw new ArgumentException(
                $"The configuration is that of a guest of type {type}, not {right}.", nameof(domain));
        }

        byte[] config = XlConfig.Utf8.GetBytes(domain.ConfigJson);
        return config.Length < XlFormat.MaxConfigLength
            ? config
            : throw new ArgumentException($"A configuration of {config.Length} bytes is too long.", nameof(domain));
    }

    /// <summary>The xl header with the configuration, the libxl header, and the record that announces libxc.</summary>
    internal static void Write(RecordOutput output, ReadOnlySpan<byte> config)
    {
        // With the configuration's length, which is part of the optional data.
        Span<byte> header = stackalloc byte[XlFormat.HeaderSize + sizeof(uint)];
        XlFormat.Magic.CopyTo(header);
        uint length = (uint)config.Length + 1;
        Span<byte> words = header[XlFormat.MagicSize..];
        BinaryPrimitives.WriteUInt32LittleEndian(words, XlFormat.ByteOrder);
        BinaryPrimitives.WriteUInt32LittleEndian(words[4..], XlFormat.FlagJson | XlFormat.FlagStreamV2);
        BinaryPrimitives.WriteUInt32LittleEndian(words[8..], 0);
        BinaryPrimitives.WriteUInt32LittleEndian(words[12..], sizeof(uint) + length);
        BinaryPrimitives.WriteUInt32LittleEndian(words[16..], length);
        output.Raw(header);
        output.Raw(config);
        output.Raw([0]);

        Span<byte> libxl = stackalloc byte[XlFormat.LibxlHeaderSize];
        BinaryPrimitives.WriteUInt64BigEndian(libxl, XlFormat.LibxlIdent);
        BinaryPrimitives.WriteUInt32BigEndian(libxl[8..], XlFormat.LibxlVersion);
        BinaryPrimitives.WriteUInt32BigEndian(libxl[12..], 0);
        output.Raw(libxl);
        output.Record((uint)LibxlRecordType.LibxcContext, [], []);
    }

    /// <summary>The image header and the domain header.</summary>
    internal static void WriteLibxc(RecordOutput output, XlDomain domain)
    {
        Span<byte> image = stackalloc byte[LibxcFormat.ImageHeaderSize];
        image.Clear();
        BinaryPrimitives.WriteUInt64BigEndian(image, LibxcFormat.Marker);
        BinaryPrimitives.WriteUInt32BigEndian(image[8..], LibxcFormat.Id);
        BinaryPrimitives.WriteUInt32BigEndian(image[12..], LibxcFormat.Version);
        output.Raw(image);

        Span<byte> header = stackalloc byte[LibxcFormat.DomainHeaderSize];
        header.Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(header, (uint)domain.Kind);
        BinaryPrimitives.WriteUInt16LittleEndian(header[4..], LibxcFormat.PageShift);
        BinaryPrimitives.WriteUInt32LittleEndian(header[8..], (uint)domain.XenMajor);
        BinaryPrimitives.WriteUInt32LittleEndian(header[12..], (uint)domain.XenMinor);
        output.Raw(header);
    }
}
