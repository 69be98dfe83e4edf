using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Hypervisor.Model;

/// <summary>A guest's disk: blocks in memory, zero until written.</summary>
/// <remarks>The guest writes it only while it runs; between a suspension and the resumption it does not change.</remarks>
public sealed class ModelDisk : IDisposable
{
    /// <summary>Bytes of a block.</summary>
    public const int BlockSize = 4096;

    private readonly AnonymousMapping? _blocks;

    internal ModelDisk(long blockCount)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(blockCount);
        BlockCount = blockCount;
        _blocks = blockCount == 0 ? null : new AnonymousMapping(checked(blockCount * BlockSize));
    }

    /// <summary>The number of blocks.</summary>
    public long BlockCount { get; }

    /// <summary>The contents of one block.</summary>
    /// <param name="block">A block below <see cref="BlockCount"/>.</param>
    public ReadOnlySpan<byte> Read(long block) => View(block);

    /// <summary>Replaces the contents of one block, as a restore does.</summary>
    /// <param name="block">A block below <see cref="BlockCount"/>.</param>
    /// <param name="data">Exactly <see cref="BlockSize"/> bytes.</param>
    public void Write(long block, ReadOnlySpan<byte> data)
    {
        if (data.Length != BlockSize)
        {
            throw new ArgumentException($"A block has {BlockSize} bytes, not {data.Length}.", nameof(data));
        }

        data.CopyTo(View(block));
    }

    /// <summary>Copies another disk of the same size.</summary>
    /// <param name="source">The disk to copy.</param>
    public void CopyFrom(ModelDisk source)
    {
        ArgumentNullException.ThrowIfNull(source);
        if (source.BlockCount != BlockCount)
        {
            throw new ArgumentException(
                $"A disk of {source.BlockCount} blocks does not fit one of {BlockCount}.", nameof(source));
        }

        for (long block = 0; block < BlockCount; block++)
        {
            source.Read(block).CopyTo(View(block));
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _blocks?.Dispose();

    internal Span<byte> View(long block)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((ulong)block, (ulong)BlockCount, nameof(block));
        return _blocks!.Span(block * BlockSize, BlockSize);
    }
}
