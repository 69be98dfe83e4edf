using System.Buffers.Binary;
using XenTwoLevelCkpt.Protocol.Checking;

namespace XenTwoLevelCkpt.Channels;

/// <summary>The channels of a node that was stopped in good order while its guests run on: with them the next process takes
/// part as if there had been no stop.</summary>
/// <remarks>A frame of its own around <see cref="ChannelState"/>, which is of a checkpoint: here <see cref="ChannelState.Protocol"/>
/// is of the moment of the stop.</remarks>
internal sealed record ParkedChannels
{
    private const int Version = 1;

    /// <summary>The protocol by its name.</summary>
    internal required string Protocol { get; init; }

    internal required int Incarnation { get; init; }

    /// <summary>The line that the last recovery asked this node to reach; 0 for none.</summary>
    internal required long RaiseTo { get; init; }

    internal required ChannelState State { get; init; }

    private static ReadOnlySpan<byte> Magic => "XTLPARKD"u8;

    internal byte[] Encode()
    {
        using var stream = new MemoryStream();
        using (var writer = new BinaryWriter(stream, System.Text.Encoding.UTF8, leaveOpen: true))
        {
            writer.Write(Magic);
            writer.Write(Version);
            writer.Write(Protocol);
            writer.Write(Incarnation);
            writer.Write(RaiseTo);
            writer.Write(State.Encode());
            writer.Flush();
            writer.Write(TraceFormat.Crc32C(stream.GetBuffer().AsSpan(0, (int)stream.Length)));
        }

        return stream.ToArray();
    }

    /// <summary>Reads what <see cref="Encode"/> wrote.</summary>
    /// <exception cref="InvalidDataException">It is something else, of another version, or damaged.</exception>
    internal static ParkedChannels Decode(ReadOnlyMemory<byte> octets)
    {
        if (octets.Length < Magic.Length + (2 * sizeof(uint)) || !octets.Span.StartsWith(Magic)
            || TraceFormat.Crc32C(octets.Span[..^sizeof(uint)])
                != BinaryPrimitives.ReadUInt32LittleEndian(octets.Span[^sizeof(uint)..]))
        {
            throw new InvalidDataException("The parked channels are damaged.");
        }

        using var reader = new BinaryReader(new MemoryStream(octets[..^sizeof(uint)].ToArray()));
        reader.BaseStream.Position = Magic.Length;
        int version = reader.ReadInt32();
        if (version != Version)
        {
            throw new InvalidDataException($"The parked channels are of version {version}; this program knows {Version}.");
        }

        return new ParkedChannels
        {
            Protocol = reader.ReadString(),
            Incarnation = reader.ReadInt32(),
            RaiseTo = reader.ReadInt64(),
            State = ChannelState.Decode(reader.ReadBytes((int)(reader.BaseStream.Length - reader.BaseStream.Position))),
        };
    }
}
