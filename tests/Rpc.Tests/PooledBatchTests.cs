using Google.Protobuf;
using XenTwoLevelCkpt.Rpc.V1;
using Xunit;

namespace XenTwoLevelCkpt.Rpc.Tests;

/// <summary>Batches that come in arrays of the pool are what protobuf's parser makes of the same octets.</summary>
public sealed class PooledBatchTests
{
    [Fact]
    public void A_batch_comes_in_an_array_of_the_pool()
    {
        ChannelMessage sent = Sample(100_000);
        foreach (int segment in (int[])[1 << 20, 4096, 7])
        {
            ChannelMessage taken = Read(sent.ToByteArray(), segment);
            Assert.Equal(sent, taken);
            Assert.True(taken.Batch.IsPooled);
            taken.Batch.ReleaseFrames();
            Assert.False(taken.Batch.IsPooled);
            Assert.True(taken.Batch.Frames.IsEmpty);
            taken.Batch.ReleaseFrames();
        }
    }

    [Fact]
    public void All_numbers_come_as_they_were_sent()
    {
        foreach (ulong number in (ulong[])[0, 1, 127, 128, uint.MaxValue, long.MaxValue, ulong.MaxValue])
        {
            var sent = new ChannelMessage
            {
                Batch = new Batch
                {
                    Incarnation = number,
                    Sn = number,
                    Sequence = number,
                    FrameCount = (uint)number,
                    OriginIncarnation = number,
                    Frames = ByteString.CopyFrom(1, 2, 3),
                },
            };
            ChannelMessage taken = Read(sent.ToByteArray(), 3);
            Assert.True(taken.Batch.IsPooled);
            Assert.Equal(sent, taken);
        }
    }

    [Fact]
    public void Other_messages_and_other_forms_are_protobufs()
    {
        byte[] usual = Sample(10).ToByteArray();
        byte[] field = [.. Sample(10).Batch.ToByteArray()];
        byte[][] forms =
        [
            new ChannelMessage { Heartbeat = new Heartbeat { Sn = 5 } }.ToByteArray(),
            new ChannelMessage { Hello = new Hello { Node = "a" } }.ToByteArray(),
            [],

            // The field twice: the second one is merged into the first.
            [.. usual, .. usual],

            // A field of a later version behind it, and inside it.
            [.. usual, 0x7A, 1, 0],
            [0x12, (byte)(field.Length + 3), .. field, 0x7A, 1, 0],

            // Frames twice: the last ones count.
            [0x12, (byte)(field.Length + 3), .. field, 0x2A, 1, 9],
        ];
        foreach (byte[] octets in forms)
        {
            ChannelMessage taken = Read(octets, 5);
            Assert.Equal(ChannelMessage.Parser.ParseFrom(octets), taken);
            Assert.False(taken.Batch?.IsPooled ?? false);
        }
    }

    [Fact]
    public void Wrong_octets_are_refused_as_by_protobuf_and_any_octets_are_read_alike()
    {
        byte[] usual = Sample(40).ToByteArray();
        var random = new Random(7);
        for (int round = 0; round < 20_000; round++)
        {
            byte[] octets = usual[..random.Next(usual.Length + 1)];
            for (int i = random.Next(4); i > 0 && octets.Length > 0; i--)
            {
                octets[random.Next(octets.Length)] = (byte)random.Next(256);
            }

            ChannelMessage? wanted = null;
            try
            {
                wanted = ChannelMessage.Parser.ParseFrom(octets);
            }
            catch (InvalidProtocolBufferException)
            {
                // Refused.
            }

            if (wanted is null)
            {
                _ = Assert.Throws<InvalidProtocolBufferException>(() => Read(octets, 11));
            }
            else
            {
                Assert.Equal(wanted, Read(octets, 11));
            }
        }
    }

    private static ChannelMessage Sample(int octets)
    {
        byte[] frames = new byte[octets];
        new Random(octets).NextBytes(frames);
        return new ChannelMessage
        {
            Batch = new Batch { Incarnation = 1, Sn = 300, Sequence = 70_000, FrameCount = 3, Frames = ByteString.CopyFrom(frames) },
        };
    }

    private static ChannelMessage Read(byte[] message, int segment) =>
        ChannelMessage.Take(Frames.Sequence([.. message.Chunk(segment)]));
}
