using System.Runtime.InteropServices;
using XenTwoLevelCkpt.Protocol;
using XenTwoLevelCkpt.Protocol.Checking;

namespace XenTwoLevelCkpt.Channels;

/// <summary>A checkpoint of the history that stands.</summary>
/// <param name="Label">The label that it was saved with.</param>
/// <param name="Reach">The index that the node reached before the next one.</param>
[StructLayout(LayoutKind.Auto)]
internal readonly record struct TakenCheckpoint(long Label, long Reach);

/// <summary>What is noted of a peer's channels.</summary>
/// <param name="Name">The peer.</param>
/// <param name="Acknowledged">The sequence number up to which it had everything.</param>
/// <param name="Kept">What comes after it.</param>
/// <param name="Delivered">The sequence number up to which its batches had been delivered here.</param>
internal sealed record PeerState(string Name, long Acknowledged, SentBatch[] Kept, long Delivered);

/// <summary>What is noted of a lost node whose domains are here (<see cref="HostedNode"/>).</summary>
/// <param name="Name">The lost node.</param>
/// <param name="Host">The node to which its domains came.</param>
/// <param name="Incarnation">The incarnation in which they came there.</param>
/// <param name="Line">The line with which they came here.</param>
/// <param name="First">The least line whose member on this node has them; 0 where no checkpoint does.</param>
/// <param name="Domains">They, by UUID.</param>
/// <param name="Peers">Its channels.</param>
internal sealed record HostedState(
    string Name, string Host, int Incarnation, long Line, long First, Guid[] Domains, PeerState[] Peers);

/// <summary>The channels of a node at a checkpoint (com of the two-level paper).</summary>
internal sealed record ChannelState
{
    // 1 has no lost nodes.
    private const int Version = 2;
    private const int MaxPeers = 1 << 16;
    private const int MaxDomains = 1 << 16;
    private const int MaxCheckpoints = 1 << 24;

    /// <summary>The protocol's state right after the checkpoint.</summary>
    internal required ScalarState Protocol { get; init; }

    /// <summary>The checkpoint's ordinal in the history that stands; 0 is the initial one.</summary>
    internal required long Ordinal { get; init; }

    /// <summary>Why it was taken, as a trace says it.</summary>
    internal required TraceEventKind Kind { get; init; }

    /// <summary>The checkpoints up to it that a recovery may still go back to, oldest first; the last one is this.
    /// </summary>
    internal required TakenCheckpoint[] Checkpoints { get; init; }

    internal required PeerState[] Peers { get; init; }

    /// <summary>What <see cref="IUplink.Save"/> gave.</summary>
    internal required byte[] Uplink { get; init; }

    /// <summary>Lost nodes whose domains are here.</summary>
    internal HostedState[] Hosted { get; init; } = [];

    private static ReadOnlySpan<byte> Magic => "XTLCHANS"u8;

    internal byte[] Encode()
    {
        using var stream = new MemoryStream();
        using (var writer = new BinaryWriter(stream, System.Text.Encoding.UTF8, leaveOpen: true))
        {
            writer.Write(Magic);
            writer.Write(Version);
            writer.Write(Protocol.Index);
            writer.Write(Protocol.Extra);
            writer.Write(Ordinal);
            writer.Write((byte)Kind);
            writer.Write(Checkpoints.Length);
            foreach (TakenCheckpoint checkpoint in Checkpoints)
            {
                writer.Write(checkpoint.Label);
                writer.Write(checkpoint.Reach);
            }

            Write(writer, Peers);
            writer.Write(Uplink.Length);
            writer.Write(Uplink);
            writer.Write(Hosted.Length);
            foreach (HostedState hosted in Hosted)
            {
                writer.Write(hosted.Name);
                writer.Write(hosted.Host);
                writer.Write(hosted.Incarnation);
                writer.Write(hosted.Line);
                writer.Write(hosted.First);
                writer.Write(hosted.Domains.Length);
                foreach (Guid domain in hosted.Domains)
                {
                    writer.Write(domain.ToByteArray());
                }

                Write(writer, hosted.Peers);
            }

            writer.Flush();
            writer.Write(TraceFormat.Crc32C(stream.GetBuffer().AsSpan(0, (int)stream.Length)));
        }

        return stream.ToArray();
    }

    /// <summary>Reads what <see cref="Encode"/> wrote.</summary>
    /// <exception cref="InvalidDataException">It is something else, or damaged.</exception>
    internal static ChannelState Decode(ReadOnlyMemory<byte> octets)
    {
        if (octets.Length < Magic.Length + (2 * sizeof(uint)) || !octets.Span.StartsWith(Magic)
            || TraceFormat.Crc32C(octets.Span[..^sizeof(uint)])
                != System.Buffers.Binary.BinaryPrimitives.ReadUInt32LittleEndian(octets.Span[^sizeof(uint)..]))
        {
            throw new InvalidDataException("The checkpoint's channel state is damaged, or is none.");
        }

        using var reader = new BinaryReader(new MemoryStream(octets.ToArray()));
        reader.BaseStream.Position = Magic.Length;
        int version = reader.ReadInt32();
        if (version is < 1 or > Version)
        {
            throw new InvalidDataException($"The checkpoint's channel state is of version {version}; this program knows 1 to {Version}.");
        }

        try
        {
            return new ChannelState
            {
                Protocol = new ScalarState(NotNegative(reader.ReadInt64()), NotNegative(reader.ReadInt64())),
                Ordinal = NotNegative(reader.ReadInt64()),
                Kind = (TraceEventKind)reader.ReadByte(),
                Checkpoints = Many(reader, MaxCheckpoints, r => new TakenCheckpoint(r.ReadInt64(), r.ReadInt64())),
                Peers = Many(reader, MaxPeers, ReadPeer),
                Uplink = Octets(reader),
                Hosted = version == 1 ? [] : Many(reader, MaxPeers, ReadHosted),
            };
        }
        catch (Exception e) when (e is EndOfStreamException or ArgumentException or FormatException)
        {
            throw new InvalidDataException("The checkpoint's channel state ends too early.", e);
        }
    }

    private static void Write(BinaryWriter writer, PeerState[] peers)
    {
        writer.Write(peers.Length);
        foreach (PeerState peer in peers)
        {
            writer.Write(peer.Name);
            writer.Write(peer.Acknowledged);
            writer.Write(peer.Delivered);
            writer.Write(peer.Kept.Length);
            foreach (SentBatch batch in peer.Kept)
            {
                writer.Write(batch.Origin);
                writer.Write(batch.Index);
                writer.Write(batch.Frames.Length);
                writer.Write(batch.Frames.Span);
            }
        }
    }

    private static HostedState ReadHosted(BinaryReader reader) => new(
        reader.ReadString(), reader.ReadString(), (int)NotNegative(reader.ReadInt32()), NotNegative(reader.ReadInt64()),
        NotNegative(reader.ReadInt64()), Many(reader, MaxDomains, r => new Guid(Exactly(r, 16))), Many(reader, MaxPeers, ReadPeer));

    private static byte[] Exactly(BinaryReader reader, int length)
    {
        byte[] octets = reader.ReadBytes(length);
        return octets.Length == length ? octets : throw new EndOfStreamException();
    }

    private static PeerState ReadPeer(BinaryReader reader)
    {
        string name = reader.ReadString();
        long acknowledged = NotNegative(reader.ReadInt64());
        long delivered = NotNegative(reader.ReadInt64());
        long sequence = acknowledged;
        return new PeerState(name, acknowledged, Many(reader, int.MaxValue, r =>
        {
            int origin = r.ReadInt32();
            long index = NotNegative(r.ReadInt64());
            return new SentBatch(++sequence, index, Octets(r), origin);
        }), delivered);
    }

    private static T[] Many<T>(BinaryReader reader, int most, Func<BinaryReader, T> read)
    {
        int count = reader.ReadInt32();
        if (count < 0 || count > most || count > reader.BaseStream.Length)
        {
            throw new InvalidDataException($"The checkpoint's channel state cannot have {count} of a kind.");
        }

        var all = new T[count];
        for (int i = 0; i < count; i++)
        {
            all[i] = read(reader);
        }

        return all;
    }

    private static byte[] Octets(BinaryReader reader)
    {
        int length = reader.ReadInt32();
        return length >= 0 && length <= reader.BaseStream.Length - reader.BaseStream.Position
            ? reader.ReadBytes(length)
            : throw new EndOfStreamException();
    }

    private static long NotNegative(long number) =>
        number >= 0 ? number : throw new InvalidDataException("The checkpoint's channel state has a number below 0.");
}
