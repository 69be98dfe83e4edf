using System.Buffers;
using System.Collections.Concurrent;
using Microsoft.AspNetCore.Connections;

namespace XenTwoLevelCkpt.Rpc.Server;

/// <summary>Memory for Kestrel's pipes in blocks of 64 KiB in place of 4 KiB, which are read from and written to sockets one a
/// call: a batch of 1 MiB takes 16 calls, and not 256.</summary>
internal sealed class BlockPool : MemoryPool<byte>
{
    /// <summary>The octets of a block: what a socket gives at once on a fast link, and four of HTTP/2's frames.</summary>
    internal const int BlockSize = 64 << 10;

    // 16 MiB: a connection's window and as much on its way out. What is given back beyond it goes to the collector.
    private const int MostKept = 256;

    private readonly ConcurrentQueue<Block> _free = new();
    private int _kept;

    /// <inheritdoc/>
    public override int MaxBufferSize => BlockSize;

    /// <inheritdoc/>
    public override IMemoryOwner<byte> Rent(int minBufferSize = -1)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(minBufferSize, BlockSize);
        if (!_free.TryDequeue(out Block? block))
        {
            return new Block(this);
        }

        _ = Interlocked.Decrement(ref _kept);
        block.Lend();
        return block;
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing) => _free.Clear();

    private void Return(Block block)
    {
        if (Interlocked.Increment(ref _kept) <= MostKept)
        {
            _free.Enqueue(block);
        }
        else
        {
            _ = Interlocked.Decrement(ref _kept);
        }
    }

    private sealed class Block(BlockPool pool) : IMemoryOwner<byte>
    {
        // Pinned for good: it is given to the kernel again and again.
        private readonly Memory<byte> _memory = GC.AllocateUninitializedArray<byte>(BlockSize, pinned: true);
        private int _lent = 1;

        public Memory<byte> Memory
        {
            get
            {
                ObjectDisposedException.ThrowIf(Volatile.Read(ref _lent) == 0, this);
                return _memory;
            }
        }

        internal void Lend() => Volatile.Write(ref _lent, 1);

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _lent, 0) != 0)
            {
                pool.Return(this);
            }
        }
    }
}

/// <summary>Makes Kestrel's pools.</summary>
internal sealed class BlockPoolFactory : IMemoryPoolFactory<byte>
{
    /// <inheritdoc/>
    public MemoryPool<byte> Create(MemoryPoolOptions? options = null) => new BlockPool();
}
