using System.Buffers.Binary;

namespace XenTwoLevelCkpt.Images.Format;

/// <summary>The bytes of an image on their way out: appends, counts, keeps the rolling checksum and the digest.</summary>
/// <remarks>One thread uses it at a time.</remarks>
internal sealed class ImageOutput : IDisposable
{
    private readonly Stream _stream;
    private readonly string _file;
    private readonly FrameDigest _digest = new();
    private readonly byte[] _scratch = new byte[Math.Max(ImageFormat.HeaderSize, ImageFormat.EndSize)];

    internal ImageOutput(Stream stream, string file)
    {
        _stream = stream;
        _file = file;
    }

    internal long Length { get; private set; }

    internal long Records { get; private set; }

    internal uint Rolling { get; private set; }

    internal void WriteHeader(ImageHeader header)
    {
        Span<byte> h = _scratch.AsSpan(0, ImageFormat.HeaderSize);
        header.WriteTo(h);
        Append(h);
        _digest.Add(h);
        Rolling = Crc32C.Append(0, BinaryPrimitives.ReadUInt32LittleEndian(h[^4..]));
    }

    internal void Write(Batch batch)
    {
        Append(batch.Record);
        _digest.Add(batch.Record[..ImageFormat.RecordHeaderSize]);
        Rolling = Crc32C.Append(Rolling, batch.Checksum);
        Records++;
    }

    internal void WriteEnd(ImageTrailer trailer)
    {
        Span<byte> end = _scratch.AsSpan(0, ImageFormat.EndSize);
        trailer.WriteTo(end[ImageFormat.RecordHeaderSize..]);
        _ = RecordHeader.Seal(end, RecordType.End);
        Append(end);
        _digest.Add(end);
        try
        {
            _stream.Flush();
        }
        catch (IOException e)
        {
            throw new ImageWriteException(_file, Length, e);
        }
    }

    internal string Digest() => _digest.Current();

    public void Dispose() => _digest.Dispose();

    private void Append(ReadOnlySpan<byte> bytes)
    {
        try
        {
            _stream.Write(bytes);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ImageWriteException(_file, Length, e);
        }

        Length += bytes.Length;
    }
}
