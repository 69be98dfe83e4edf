using System.Buffers.Binary;

namespace XenTwoLevelCkpt.NativeInterop.Tests.Compression;

/// <summary>Data as guests' pages hold them: zeros, one value, pointers, text, noise, and copies of other pages.</summary>
internal static class PageData
{
    private const int PageSize = 4096;

    internal static byte[] Make(Random random, int length)
    {
        byte[] data = new byte[length];
        for (int at = 0; at < length; at += PageSize)
        {
            Fill(random, data, at, Math.Min(PageSize, length - at));
        }

        return data;
    }

    private static void Fill(Random random, byte[] data, int at, int length)
    {
        Span<byte> page = data.AsSpan(at, length);
        switch (random.Next(7))
        {
            case 0:
                break;
            case 1:
                page.Fill((byte)random.Next(256));
                break;
            case 2:
                for (int i = 0; i + 8 <= length; i += 8)
                {
                    BinaryPrimitives.WriteInt64LittleEndian(page[i..], -0x7780_0000_0000 + random.Next(1 << 20));
                }

                break;
            case 3:
                ReadOnlySpan<byte> words = "the page of a guest holds words and numbers 0123456789 "u8;
                for (int i = 0; i < length; i++)
                {
                    page[i] = words[(i + (random.Next(50) == 0 ? random.Next(words.Length) : 0)) % words.Length];
                }

                break;
            case 4:
                random.NextBytes(page);
                break;
            case 5:
                random.NextBytes(page[..(length / 2)]);
                break;
            default:
                int from = at == 0 ? 0 : random.Next(at);
                data.AsSpan(from, Math.Min(length, at - from)).CopyTo(page);
                break;
        }
    }
}
