using System.IO.Pipelines;
using XenTwoLevelCkpt.Rpc.Server;
using Xunit;

namespace XenTwoLevelCkpt.Rpc.Tests;

/// <summary>The filter before HTTP/2 on a Unix domain socket.</summary>
public class AuthorityTests
{
    // Two frames of a client: SETTINGS, and HEADERS with padding and priority around the block of RFC 7541, C.4.1.
    private static readonly byte[] Block = Convert.FromHexString("828684418cf1e3c2e5f23a6ba0ab90f4ff");

    [Fact]
    public void Blocks_of_another_encoder_are_mended_and_nothing_else_in_them()
    {
        (int code, string output, string error) = PeerTests.Run(
            PeerTests.Python, Path.Combine(AppContext.BaseDirectory, "Peer/hpack_blocks.py"), "7", "2000");
        Assert.SkipUnless(
            code == 0 || !error.Contains("No module named 'hpack'", StringComparison.Ordinal),
            "python3-hpack is missing; './dev setup' installs it.");
        Assert.True(code == 0, error);
        string[] lines = output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.InRange(lines.Length, 2000, int.MaxValue);
        int changed = 0;
        foreach (string line in lines)
        {
            string[] blocks = line.Split(' ');
            byte[] mended = Convert.FromHexString(blocks[0]);
            AuthorityLiteral.Mend(mended);
            Assert.Equal(blocks[1], Convert.ToHexStringLower(mended));
            changed += blocks[0] == blocks[1] ? 0 : 1;
        }

        Assert.InRange(changed, lines.Length / 4, lines.Length);
    }

    [Fact]
    public void Any_octets_pass_in_their_order_and_with_their_length()
    {
        var random = new Random(11);
        for (int round = 0; round < 2000; round++)
        {
            byte[] octets = new byte[random.Next(400)];
            random.NextBytes(octets);
            if (octets.Length > 9 && random.Next(2) == 0)
            {
                // A HEADERS frame of random octets.
                octets[0] = octets[1] = 0;
                octets[3] = 1;
                octets[4] |= 4;
            }

            byte[] passed = Pass([.. Preface(), .. octets], random);
            Assert.Equal(octets.Length + Preface().Length, passed.Length);
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(0x8)]
    [InlineData(0x20)]
    [InlineData(0x28)]
    public void A_block_is_found_within_its_frame_however_it_comes(byte flags)
    {
        byte[] literal = [0x82, 0x01, 0x04, .. "/a%b"u8];
        byte[] mended = [0x82, 0x01, 0x04, .. ".a-b"u8];
        byte[] settings = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100];
        byte[] data = [0, 0, 3, 0, 0, 0, 0, 0, 1, 0x01, 0x04, 0x2F];
        var random = new Random(flags);
        for (int round = 0; round < 50; round++)
        {
            byte[] sent = [.. Preface(), .. settings, .. Headers(literal, flags), .. data, .. Headers(Block, flags)];
            byte[] wanted = [.. Preface(), .. settings, .. Headers(mended, flags), .. data, .. Headers(Block, flags)];
            Assert.Equal(wanted, Pass(sent, random));
        }
    }

    private static byte[] Preface() => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8.ToArray();

    private static byte[] Headers(byte[] block, byte flags)
    {
        byte[] payload =
        [
            .. (flags & 0x8) != 0 ? new byte[] { 3 } : [], .. (flags & 0x20) != 0 ? new byte[] { 0, 0, 0, 0, 16 } : [], .. block,
            .. (flags & 0x8) != 0 ? "%/%"u8.ToArray() : [],
        ];
        return [0, 0, (byte)payload.Length, 1, (byte)(flags | 4), 0, 0, 0, 1, .. payload];
    }

    private static byte[] Pass(byte[] octets, Random random)
    {
        var pipe = new Pipe(new PipeOptions(pauseWriterThreshold: 0));
        var frames = new HeaderFrames();
        for (int at = 0; at < octets.Length;)
        {
            int length = Math.Min(random.Next(1, 40), octets.Length - at);
            frames.Take(octets.AsSpan(at, length), pipe.Writer);
            at += length;
        }

        frames.End(pipe.Writer);
        pipe.Writer.Complete();
        using var all = new MemoryStream();
        pipe.Reader.AsStream().CopyTo(all);
        return all.ToArray();
    }
}
