using System.Buffers;
using Google.Protobuf;

namespace XenTwoLevelCkpt.Rpc.V1;

/// <content>Batches are most of what a channel carries, and their frames up to 1 MiB: they come in arrays of the shared
/// pool.</content>
public sealed partial class ChannelMessage
{
    private const int BatchTag = (BatchFieldNumber << 3) | (int)WireFormat.WireType.LengthDelimited;

    /// <summary>Takes a message from its octets: the usual form of a batch into memory of the shared pool, any other form by
    /// protobuf's parser.</summary>
    /// <param name="octets">The message.</param>
    /// <exception cref="InvalidProtocolBufferException">The octets are wrong.</exception>
    internal static ChannelMessage Take(in ReadOnlySequence<byte> octets)
    {
        var message = new ChannelMessage();
        return message.TryParse(octets) ? message : Parser.ParseFrom(octets);
    }

    // False for any other form, and for octets that are wrong.
    private bool TryParse(in ReadOnlySequence<byte> octets)
    {
        var reader = new SequenceReader<byte>(octets);
        if (!reader.TryRead(out byte tag) || tag != BatchTag || !PooledFields.TryReadVarint(ref reader, out ulong length)
            || length != (ulong)reader.Remaining)
        {
            return false;
        }

        var batch = new Batch();
        if (!batch.TryParse(ref reader))
        {
            batch.ReleaseFrames();
            return false;
        }

        Batch = batch;
        return true;
    }
}

/// <content>Frames in an array of the shared pool.</content>
public sealed partial class Batch
{
    private const int Varint = (int)WireFormat.WireType.Varint;

    private byte[]? _lent;

    /// <summary>True where <see cref="Frames"/> lie in an array of the shared pool. Whoever has done with them gives it back, by
    /// <see cref="ReleaseFrames"/> or to the pool; otherwise it is the collector's.</summary>
    public bool IsPooled => _lent is not null;

    /// <summary>Gives the array of the frames back to the pool, where it is of it. Nobody may look at them any more.</summary>
    public void ReleaseFrames()
    {
        if (_lent is { } lent)
        {
            _lent = null;
            Frames = ByteString.Empty;
            ArrayPool<byte>.Shared.Return(lent);
        }
    }

    internal bool TryParse(ref SequenceReader<byte> reader)
    {
        while (reader.TryRead(out byte tag))
        {
            if (!PooledFields.TryReadVarint(ref reader, out ulong value))
            {
                return false;
            }

            switch (tag)
            {
                case (IncarnationFieldNumber << 3) | Varint: Incarnation = value; break;
                case (SnFieldNumber << 3) | Varint: Sn = value; break;
                case (SequenceFieldNumber << 3) | Varint: Sequence = value; break;
                case (FrameCountFieldNumber << 3) | Varint: FrameCount = (uint)value; break;
                case (OriginIncarnationFieldNumber << 3) | Varint: OriginIncarnation = value; break;
                case (FramesFieldNumber << 3) | (int)WireFormat.WireType.LengthDelimited
                    when _lent is null && value <= (ulong)reader.Remaining:
                    _lent = ArrayPool<byte>.Shared.Rent((int)value);
                    Memory<byte> frames = _lent.AsMemory(0, (int)value);
                    _ = reader.TryCopyTo(frames.Span);
                    reader.Advance((long)value);
                    Frames = UnsafeByteOperations.UnsafeWrap(frames);
                    break;
                default:
                    // Protobuf knows what to do with fields of later versions.
                    return false;
            }
        }

        return true;
    }
}

internal static class PooledFields
{
    // Ten octets of seven bits: the longest varint.
    private const int MostBits = 70;

    internal static bool TryReadVarint(ref SequenceReader<byte> reader, out ulong value)
    {
        value = 0;
        for (int shift = 0; shift < MostBits; shift += 7)
        {
            if (!reader.TryRead(out byte octet))
            {
                return false;
            }

            value |= (ulong)(octet & 0x7F) << shift;
            if (octet < 0x80)
            {
                return true;
            }
        }

        return false;
    }
}
