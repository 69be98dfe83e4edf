using System.Security.Cryptography;

namespace XenTwoLevelCkpt.Images.Format;

/// <summary>SHA-256 over the frame of an image: its header, the header of each record before END, and END as a whole
/// (docs/checkpoint-format.md, section 5.7).</summary>
/// <remarks>A record's header has the checksum of its payload, so the digest stands for every byte of the file. SHA-256 over
/// the payloads themselves would cost as much time as LZ4 does on memory that compresses well.</remarks>
internal sealed class FrameDigest : IDisposable
{
    private readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);

    internal void Add(ReadOnlySpan<byte> frame) => _hash.AppendData(frame);

    /// <summary>The digest of what was added so far, in lower-case hexadecimal.</summary>
    internal string Current() => Convert.ToHexStringLower(_hash.GetCurrentHash());

    public void Dispose() => _hash.Dispose();
}
