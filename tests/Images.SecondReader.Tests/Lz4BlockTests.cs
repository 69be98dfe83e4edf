using System.Text;
using Xunit;

namespace XenTwoLevelCkpt.Images.SecondReader.Tests;

public sealed class Lz4BlockTests
{
    private static byte[] Decode(int length, params byte[] block)
    {
        byte[] data = new byte[length];
        Lz4Block.Decode(block, data);
        return data;
    }

    private static void Refused(string rule, int length, params byte[] block) =>
        Refuse.That(rule, () => Decode(length, block));

    [Fact]
    public void Literals_alone()
    {
        Assert.Equal("abcde"u8.ToArray(), Decode(5, [0x50, .. "abcde"u8]));
        Assert.Equal([], Decode(0, 0x00));
    }

    [Theory]
    [InlineData(15, new byte[] { 0 })]
    [InlineData(16, new byte[] { 1 })]
    [InlineData(269, new byte[] { 254 })]
    [InlineData(270, new byte[] { 255, 0 })]
    [InlineData(525, new byte[] { 255, 255, 0 })]
    public void Long_literals(int length, byte[] more)
    {
        byte[] data = [.. Enumerable.Range(0, length).Select(i => (byte)i)];
        Assert.Equal(data, Decode(length, [0xF0, .. more, .. data]));
    }

    [Fact]
    public void Matches()
    {
        Assert.Equal("abcdefghabcd-the tail"u8.ToArray(), Decode(21, [0x80, .. "abcdefgh"u8, 8, 0, 0x90, .. "-the tail"u8]));
        // A match that overlaps itself, with offset 1 and with offset 3; no literals between two matches.
        Assert.Equal("aaaaaaaaaaaa-tail"u8.ToArray(), Decode(17, [0x17, .. "a"u8, 1, 0, 0x50, .. "-tail"u8]));
        Assert.Equal("abcabcabca-tail"u8.ToArray(), Decode(15, [0x33, .. "abc"u8, 3, 0, 0x50, .. "-tail"u8]));
        Assert.Equal("abababababab-the tail"u8.ToArray(), Decode(21, [0x20, .. "ab"u8, 2, 0, 0x02, 4, 0, 0x90, .. "-the tail"u8]));
    }

    [Theory]
    [InlineData(19, new byte[] { 0 })]
    [InlineData(274, new byte[] { 255, 0 })]
    [InlineData(530, new byte[] { 255, 255, 1 })]
    public void Long_matches(int match, byte[] more)
    {
        byte[] block = [0x1F, 7, 1, 0, .. more, 0x50, 1, 2, 3, 4, 5];
        Assert.Equal([.. Enumerable.Repeat((byte)7, match + 1), 1, 2, 3, 4, 5], Decode(match + 6, block));
    }

    // Made by lz4(1) 1.9.4 with -9.
    [Fact]
    public void A_block_of_the_reference_encoder()
    {
        byte[] block = Convert.FromBase64String(
            "8QVwYWdlIDAgb2YgdGhlIGd1ZXN0ChQAHzEUAAAfMhQAAB8zFAAAHzQUAAAfNRQAAB42FAAPjAD//38fAAEA//9GAGICoGxhc3Qgd29yZHM=");
        StringBuilder expected = new();
        for (int i = 0; i < 40; i++)
        {
            expected.Append("page ").Append(i % 7).Append(" of the guest\n");
        }

        expected.Append('\0', 600).Append("the last words");
        Assert.Equal(Encoding.ASCII.GetBytes(expected.ToString()), Decode(1414, block));
        for (int length = 0; length < block.Length; length++)
        {
            Assert.Throws<FormatViolationException>(() => Decode(1414, block[..length]));
        }

        Refused("the length that other fields say", 1415, block);
        Refused("more than the data", 1413, block);
    }

    [Fact]
    public void Offsets_outside_the_data_are_rejected()
    {
        Refused("has an offset", 13, [0x44, .. "abcd"u8, 0, 0, 0x10, .. "!"u8]);
        Refused("begins inside the data", 13, [0x44, .. "abcd"u8, 5, 0, 0x10, .. "!"u8]);
        Refused("begins inside the data", 13, [0x44, .. "abcd"u8, 0xFF, 0xFF, 0x10, .. "!"u8]);
        Refused("begins inside the data", 5, [0x00, 1, 0, 0x10, .. "!"u8]);
    }

    [Fact]
    public void Lengths_behind_the_end_are_rejected()
    {
        Refused("more than the data", 4, [0x50, .. "abcde"u8]);
        Refused("has the literals", 6, [0x60, .. "abcde"u8]);
        Refused("more than the data", 16, [0x4F, .. "abcd"u8, 4, 0, 0, 0x00]);
        Refused("last 5 octets", 16, [0x48, .. "abcd"u8, 4, 0, 0x00]);
        Refused("more than the data", 20, [0xF0, 255, 255, 255, 255, 0]);
        Refused("more than the data", 20, [0x1F, 1, 1, 0, 255, 255, 255]);
        Refused("inside a length", 20, 0xF0);
        Refused("inside a length", 4000, 0xF0, 255, 255);
        Refused("inside a length", 4000, 0x1F, 1, 1, 0, 255);
    }

    [Fact]
    public void A_block_that_ends_elsewhere_than_in_literals_is_rejected()
    {
        Refused("ends with literals", 0);
        Refused("not inside an offset", 8, [0x40, .. "abcd"u8, 4]);
        Refused("ends with literals", 20, [0x40, .. "abcd"u8, 4, 0]);
        Refused("the length that other fields say", 6, [0x50, .. "abcde"u8]);
    }

    [Fact]
    public void The_end_of_a_block_is_literals()
    {
        byte[] Block(int literals) => [0x4F, .. "abcd"u8, 4, 0, 3, (byte)(literals << 4), .. Enumerable.Repeat((byte)'!', literals)];
        Assert.Equal("abcdabcdabcdabcdabcdabcdab!!!!!"u8.ToArray(), Decode(31, Block(5)));
        Refused("last 5 octets", 30, Block(4));
        byte[] late = [0x40, .. "abcd"u8, 4, 0, 0x80, .. "!!!!!!!!"u8];
        Assert.Equal("abcdabcd!!!!!!!!"u8.ToArray(), Decode(16, late));
        late[7] = 0x70;
        Refused("last 12 octets", 15, late[..^1]);
    }
}
