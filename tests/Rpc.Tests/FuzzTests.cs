using System.Diagnostics;
using System.Globalization;
using Google.Protobuf;
using XenTwoLevelCkpt.Rpc.V1;
using Xunit;

namespace XenTwoLevelCkpt.Rpc.Tests;

/// <summary>The decoder against bytes that nobody meant. Each outcome is that of a plain decoder of one array. 20,000 rounds;
/// with <c>XTL_FUZZ_SECONDS</c> as many as fit. <c>XTL_FUZZ_SEED</c> repeats a run.</summary>
public class FuzzTests(ITestOutputHelper output)
{
    private const int Limit = 4096;
    private const int Rounds = 20_000;

    [Fact]
    public async Task The_decoder_agrees_with_a_plain_one()
    {
        int seed = Number("XTL_FUZZ_SEED") ?? Random.Shared.Next();
        int? seconds = Number("XTL_FUZZ_SECONDS");
        output.WriteLine($"XTL_FUZZ_SEED={seed}");
        var random = new Random(seed);
        var clock = Stopwatch.StartNew();
        int rounds = 0;
        int refused = 0;
        for (; seconds is null ? rounds < Rounds : clock.Elapsed.TotalSeconds < seconds; rounds++)
        {
            byte[] octets = Octets(random);
            List<byte[]> parts = [[], .. Frames.Split(octets, random)];
            (List<ChannelMessage> expected, StatusCode? failure) = Plain(octets);
            var reader = new PipeMessageReader<ChannelMessage>(
                new FixedPipe(Frames.Sequence(parts)), Limit, "gzip", StatusCode.Unimplemented);
            List<ChannelMessage> found = [];
            StatusCode? end = null;
            try
            {
                while (await reader.ReadAsync(default) is { } message)
                {
                    found.Add(message);
                }
            }
            catch (StatusException e)
            {
                end = e.Code;
                refused++;
            }

            Assert.True(
                end == failure && expected.SequenceEqual(found),
                $"round {rounds}: {end} instead of {failure} for {Convert.ToHexString(octets)}");
        }

        output.WriteLine($"{rounds} rounds, of which {refused} were refused");
    }

    // Right messages, some of them with a few octets changed, cut, repeated or put in; or noise.
    private static byte[] Octets(Random random)
    {
        if (random.Next(10) == 0)
        {
            byte[] noise = new byte[random.Next(64)];
            random.NextBytes(noise);
            return noise;
        }

        List<byte> octets = [.. Frames.Of([.. Enumerable.Range(0, random.Next(4)).Select(_ => Message(random))])];
        for (int changes = random.Next(4); changes > 0 && octets.Count > 0; changes--)
        {
            int at = random.Next(octets.Count);
            switch (random.Next(5))
            {
                case 0:
                    octets[at] ^= (byte)(1 << random.Next(8));
                    break;
                case 1:
                    octets[at] = (byte)random.Next(256);
                    break;
                case 2:
                    octets.RemoveRange(at, Math.Min(random.Next(1, 9), octets.Count - at));
                    break;
                case 3:
                    octets.InsertRange(at, octets.GetRange(at, Math.Min(random.Next(1, 9), octets.Count - at)));
                    break;
                default:
                    octets.Insert(at, (byte)random.Next(256));
                    break;
            }
        }

        return [.. octets];
    }

    private static ChannelMessage Message(Random random) => random.Next(4) switch
    {
        0 => new ChannelMessage
        {
            Hello = new Hello { ProtocolVersion = 1, Node = "n" + random.Next(9), ClusterId = new string('c', random.Next(40)) },
        },
        1 => new ChannelMessage
        {
            Batch = new Batch { Sn = (ulong)random.NextInt64(), Sequence = 1, Frames = ByteString.CopyFrom(new byte[random.Next(300)]) },
        },
        2 => new ChannelMessage { Acknowledgement = new Acknowledgement { Through = (ulong)random.Next() } },
        _ => new ChannelMessage(),
    };

    private static (List<ChannelMessage> Messages, StatusCode? Failure) Plain(byte[] octets)
    {
        List<ChannelMessage> messages = [];
        for (int at = 0; at < octets.Length;)
        {
            if (octets[at] != 0)
            {
                return (messages, octets[at] == 1 ? StatusCode.Unimplemented : StatusCode.Internal);
            }

            if (octets.Length - at < 5)
            {
                return (messages, StatusCode.Internal);
            }

            long length = Convert.ToInt64(Convert.ToHexString(octets, at + 1, 4), 16);
            if (length > Limit)
            {
                return (messages, StatusCode.ResourceExhausted);
            }

            if (length > octets.Length - at - 5)
            {
                return (messages, StatusCode.Internal);
            }

            try
            {
                messages.Add(ChannelMessage.Parser.ParseFrom(octets, at + 5, (int)length));
            }
            catch (InvalidProtocolBufferException)
            {
                return (messages, StatusCode.Internal);
            }

            at += 5 + (int)length;
        }

        return (messages, null);
    }

    private static int? Number(string variable) =>
        int.TryParse(Environment.GetEnvironmentVariable(variable), CultureInfo.InvariantCulture, out int number) ? number : null;
}
