using System.Buffers;

namespace XenTwoLevelCkpt.Channels;

/// <summary>Frames for a peer that have not left: the batch that is being filled, and those that wait for room behind it.</summary>
/// <remarks>One thread at a time: the frame router's.</remarks>
/// <param name="waitingLimit">The most octets that wait; one of the longest frames always has to fit.</param>
internal sealed class OpenBatch(long waitingLimit)
{
    // The first array: room for the longest frame. Arrays double up to that of the longest batch.
    private const int Least = 128 << 10;

    private readonly Queue<ArraySegment<byte>> _waiting = new();
    private byte[] _frames = [];
    private int _used;
    private int _waitingBytes;

    /// <summary>Octets of the batch that are filled.</summary>
    internal int Used => _used;

    /// <summary>True where the batch may not have room for one more frame.</summary>
    internal bool IsFull => _used > FrameBatch.MaxLength - FrameBatch.Prefix - FrameBatch.MaxFrame;

    /// <summary>True where the next frame can go into the batch: there is room, and none waits before it.</summary>
    internal bool HasPlace => !IsFull && _waiting.Count == 0;

    /// <summary>True where one more frame may wait for room.</summary>
    internal bool MayWait => _waitingBytes <= waitingLimit - FrameBatch.MaxFrame;

    /// <summary>Frames that were dropped, as too many waited for room.</summary>
    internal long Dropped { get; private set; }

    /// <summary>The place of the next frame, <see cref="FrameBatch.MaxFrame"/> octets; there is room.</summary>
    internal Span<byte> NextFrame
    {
        get
        {
            if (_frames.Length - _used < FrameBatch.Prefix + FrameBatch.MaxFrame)
            {
                byte[] larger = ArrayPool<byte>.Shared.Rent(Math.Clamp(_frames.Length * 2, Least, FrameBatch.MaxLength));
                if (_frames.Length > 0)
                {
                    _frames.AsSpan(0, _used).CopyTo(larger);
                    ArrayPool<byte>.Shared.Return(_frames);
                }

                _frames = larger;
            }

            return _frames.AsSpan(_used + FrameBatch.Prefix, FrameBatch.MaxFrame);
        }
    }

    /// <summary>The frame in <see cref="NextFrame"/> is one of the batch.</summary>
    internal void Commit(int length) => FrameBatch.Commit(_frames, ref _used, length);

    /// <summary>A frame waits for room, or is dropped where too many wait.</summary>
    internal void Wait(ReadOnlySpan<byte> frame)
    {
        if (!MayWait)
        {
            Dropped++;
            return;
        }

        byte[] kept = ArrayPool<byte>.Shared.Rent(frame.Length);
        frame.CopyTo(kept);
        _waiting.Enqueue(new ArraySegment<byte>(kept, 0, frame.Length));
        _waitingBytes += frame.Length;
    }

    /// <summary>What waits goes into the batch, as far as there is room.</summary>
    internal void TakeWaiting()
    {
        while (!IsFull && _waiting.TryDequeue(out ArraySegment<byte> frame))
        {
            frame.AsSpan().CopyTo(NextFrame);
            Commit(frame.Count);
            _waitingBytes -= frame.Count;
            ArrayPool<byte>.Shared.Return(frame.Array!);
        }
    }

    /// <summary>The batch leaves: in its array, where at least half of it is filled, so that a window's batches take at most twice their
    /// octets; else in a copy. Either is of the shared pool.</summary>
    internal Memory<byte> Take()
    {
        byte[] frames = _frames;
        if (_used < _frames.Length / 2)
        {
            frames = ArrayPool<byte>.Shared.Rent(_used);
            _frames.AsSpan(0, _used).CopyTo(frames);
        }
        else
        {
            _frames = ArrayPool<byte>.Shared.Rent(Least);
        }

        Memory<byte> batch = frames.AsMemory(0, _used);
        _used = 0;
        return batch;
    }

    /// <summary>All of it is dropped: it is of a time that is undone.</summary>
    internal void Clear()
    {
        _used = 0;
        while (_waiting.TryDequeue(out ArraySegment<byte> frame))
        {
            ArrayPool<byte>.Shared.Return(frame.Array!);
        }

        _waitingBytes = 0;
    }
}
