using System.Buffers.Binary;

namespace XenTwoLevelCkpt.Channels;

/// <summary>
/// The Ethernet frames of a batch, one behind the other: a frame's length as a 32-bit number, big-endian, and the
/// frame from its destination address to the end of its payload, without check sequence. Nothing is allocated.
/// </summary>
public static class FrameBatch
{
    /// <summary>Bytes before each frame.</summary>
    public const int Prefix = sizeof(uint);

    /// <summary>The least bytes of a frame: its header (IEEE 802.3, clause 3.2). Guests' cards do not pad.</summary>
    public const int MinFrame = 14;

    /// <summary>The most bytes of a frame, 69,632: a segment of 64 KiB that no card has cut yet, and 4 KiB for headers.
    /// </summary>
    public const int MaxFrame = 68 << 10;

    /// <summary>The most bytes of a batch (proto/xtlckpt/v1/node_channel.proto). Longer ones gain nothing, and make whoever
    /// waits behind them wait longer.</summary>
    public const int MaxLength = 1 << 20;

    /// <summary>Adds a frame to a batch that is being filled.</summary>
    /// <param name="batch">The batch's buffer.</param>
    /// <param name="used">Bytes of it that are filled; raised.</param>
    /// <param name="frame">The frame.</param>
    /// <returns>False where there is no room: the batch has to leave first.</returns>
    /// <exception cref="ArgumentException">It is no frame.</exception>
    public static bool TryAppend(Span<byte> batch, ref int used, ReadOnlySpan<byte> frame)
    {
        if (frame.Length is < MinFrame or > MaxFrame)
        {
            throw new ArgumentException($"A frame has {MinFrame} to {MaxFrame} bytes, not {frame.Length}.", nameof(frame));
        }

        Span<byte> room = batch[used..];
        if (room.Length < Prefix + frame.Length)
        {
            return false;
        }

        BinaryPrimitives.WriteUInt32BigEndian(room, (uint)frame.Length);
        frame.CopyTo(room[Prefix..]);
        used += Prefix + frame.Length;
        return true;
    }

    /// <summary>Adds a frame that lies in its place already, <see cref="Prefix"/> bytes behind what is filled.</summary>
    /// <param name="batch">The batch's buffer.</param>
    /// <param name="used">Bytes of it that are filled; raised.</param>
    /// <param name="length">The frame's bytes.</param>
    /// <exception cref="ArgumentException">It is no frame, or the buffer ends inside it.</exception>
    public static void Commit(Span<byte> batch, ref int used, int length)
    {
        if (length is < MinFrame or > MaxFrame || length > batch.Length - used - Prefix)
        {
            throw new ArgumentException($"No frame of {length} bytes is there.", nameof(length));
        }

        BinaryPrimitives.WriteUInt32BigEndian(batch[used..], (uint)length);
        used += Prefix + length;
    }

    /// <summary>Checks a batch that came from a peer, as a whole and before a frame of it is used.</summary>
    /// <param name="batch">The batch.</param>
    /// <returns>The number of frames.</returns>
    /// <exception cref="ChannelException">It is none.</exception>
    public static int Check(ReadOnlySpan<byte> batch)
    {
        if (batch.Length > MaxLength)
        {
            throw new ChannelException($"A batch has at most {MaxLength} bytes, not {batch.Length}.");
        }

        int frames = 0;
        for (ReadOnlySpan<byte> rest = batch; !rest.IsEmpty; frames++)
        {
            int at = batch.Length - rest.Length;
            uint length = rest.Length < Prefix
                ? throw new ChannelException($"A batch ends inside the length of a frame, at byte {at}.")
                : BinaryPrimitives.ReadUInt32BigEndian(rest);
            if (length is < MinFrame or > MaxFrame)
            {
                throw new ChannelException(
                    $"A frame has {MinFrame} to {MaxFrame} bytes, not {length}, at byte {at} of a batch.");
            }

            if (length > rest.Length - Prefix)
            {
                throw new ChannelException($"A batch ends inside the frame at byte {at}.");
            }

            rest = rest[(Prefix + (int)length)..];
        }

        return frames;
    }

    /// <summary>The frames of a batch that <see cref="Check"/> accepted.</summary>
    /// <param name="batch">The batch.</param>
    public static Frames Of(ReadOnlySpan<byte> batch) => new(batch);

    /// <summary>The frames of a batch, in their order.</summary>
    public ref struct Frames
    {
        private ReadOnlySpan<byte> _rest;

        internal Frames(ReadOnlySpan<byte> batch) => _rest = batch;

        /// <summary>The frame.</summary>
        public ReadOnlySpan<byte> Current { get; private set; }

        /// <summary>For <c>foreach</c>.</summary>
        public readonly Frames GetEnumerator() => this;

        /// <summary>Goes to the next frame.</summary>
        public bool MoveNext()
        {
            if (_rest.IsEmpty)
            {
                return false;
            }

            int end = Prefix + (int)BinaryPrimitives.ReadUInt32BigEndian(_rest);
            Current = _rest[Prefix..end];
            _rest = _rest[end..];
            return true;
        }
    }
}
