using System.Diagnostics;
using System.Globalization;
using XenTwoLevelCkpt.Images.SecondReader;
using XenTwoLevelCkpt.NativeInterop.Compression;
using XenTwoLevelCkpt.NativeInterop.Headers;
using Xunit;
using Lz4Block = XenTwoLevelCkpt.NativeInterop.Compression.Lz4Block;
using PlainLz4 = XenTwoLevelCkpt.Images.SecondReader.Lz4Block;

namespace XenTwoLevelCkpt.NativeInterop.Tests.Compression;

/// <summary>Blocks that nobody meant: what is valid decompresses to the same data by liblz4, by K4os and by a plain decoder,
/// and all else is refused. 20,000 rounds; with <c>XTL_FUZZ_SECONDS</c> as many as fit. <c>XTL_FUZZ_SEED</c> repeats a run.
/// </summary>
public class Lz4BlockTests(ITestOutputHelper output)
{
    private const int Rounds = 20_000;
    private const int Guard = 64;

    private static readonly ILz4Codec Native = Lz4.Choose(Lz4H.Library);
    private static readonly ManagedLz4 Managed = new();

    [Fact]
    public void A_valid_block_has_the_same_contents_for_everybody()
    {
        int seed = Number("XTL_FUZZ_SEED") ?? Random.Shared.Next();
        int? seconds = Number("XTL_FUZZ_SECONDS");
        output.WriteLine($"XTL_FUZZ_SEED={seed}");
        var random = new Random(seed);
        var clock = Stopwatch.StartNew();
        int rounds = 0;
        int valid = 0;
        int apart = 0;
        for (; seconds is null ? rounds < Rounds : clock.Elapsed.TotalSeconds < seconds; rounds++)
        {
            byte[] data = PageData.Make(random, random.Next(10) == 0 ? random.Next(70_000) : random.Next(600));
            byte[] block = Mutated(random, data);
            int length = random.Next(8) == 0 ? Math.Max(0, data.Length + random.Next(-20, 21)) : data.Length;
            bool isValid = Lz4Block.IsValid(block, length);
            string round = $"round {rounds}, {length} bytes of {Convert.ToHexString(block)}";

            // Each finds something else in its destination, as what a decoder leaves there differs, too.
            (int nativeLength, byte[] native) = Decompress(Native, block, length, 0xa5);
            (int managedLength, byte[] managed) = Decompress(Managed, block, length, 0x5a);
            byte[] plain = new byte[length];
            Assert.True(IsPlain(block, plain) == isValid, round);
            if (isValid)
            {
                valid++;
                Assert.True(nativeLength == length && managedLength == length, round);
                Assert.True(native.AsSpan().SequenceEqual(managed) && native.AsSpan().SequenceEqual(plain), round);
            }
            else
            {
                Assert.False(Lz4.TryDecompress(block, plain), round);
                apart += nativeLength == length && managedLength == length && !native.AsSpan().SequenceEqual(managed) ? 1 : 0;
            }
        }

        output.WriteLine($"{rounds} rounds: {valid} valid; {apart} not, of which the two give different contents");
        Assert.InRange(valid, rounds / 20, rounds);
    }

    // What leads the two apart unless it is refused: a match that begins where nothing is yet.
    [Theory]
    [InlineData(0)]
    [InlineData(5)]
    public void A_match_from_outside_of_the_data_is_refused(byte offset)
    {
        byte[] block = [0x40, .. "abcd"u8, offset, 0, 0x80, .. "!!!!!!!!"u8];
        Assert.False(Lz4Block.IsValid(block, 16));
        Assert.False(Lz4.TryDecompress(block, new byte[16]));
        block[5] = 4;
        Assert.True(Lz4Block.IsValid(block, 16));
    }

    // Changed by a few bytes, or cut, or with a part of it repeated; one of eight is whole.
    private static byte[] Mutated(Random random, byte[] data)
    {
        byte[] room = new byte[Lz4.MaxCompressedLength(data.Length)];
        List<byte> block = [.. room.AsSpan(0, Lz4.Compress(data, room))];
        for (int changes = random.Next(8) == 0 ? 0 : random.Next(1, 4); changes > 0 && block.Count > 0; changes--)
        {
            int at = random.Next(block.Count);
            switch (random.Next(6))
            {
                case 0:
                    block[at] ^= (byte)(1 << random.Next(8));
                    break;
                case 1:
                    block[at] = (byte)random.Next(256);
                    break;
                case 2:
                    block[at] = 0;
                    break;
                case 3:
                    block.RemoveRange(at, Math.Min(random.Next(1, 9), block.Count - at));
                    break;
                case 4:
                    block.InsertRange(at, block.GetRange(at, Math.Min(random.Next(1, 9), block.Count - at)));
                    break;
                default:
                    block.Insert(at, (byte)random.Next(256));
                    break;
            }
        }

        return [.. block];
    }

    private static (int Length, byte[] Data) Decompress(ILz4Codec codec, byte[] block, int length, byte before)
    {
        // What holds nothing is never given to an implementation: they differ in which of its blocks they take.
        if (length == 0)
        {
            return (0, []);
        }

        byte[] room = new byte[length + Guard];
        Array.Fill(room, before);
        int decoded = codec.Decompress(block, room.AsSpan(0, length));
        Assert.False(room.AsSpan(length).ContainsAnyExcept(before), $"{codec.Name} wrote behind the destination");
        return (decoded, room[..length]);
    }

    private static bool IsPlain(byte[] block, byte[] data)
    {
        try
        {
            PlainLz4.Decode(block, data);
            return true;
        }
        catch (FormatViolationException)
        {
            return false;
        }
    }

    private static int? Number(string variable) =>
        int.TryParse(Environment.GetEnvironmentVariable(variable), CultureInfo.InvariantCulture, out int value) ? value : null;
}
