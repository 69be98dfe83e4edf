namespace XenTwoLevelCkpt.Benchmarks.Node;

/// <summary>What guests' memory holds, in large part.</summary>
internal static class BenchmarkMemory
{
    /// <summary>The runtime's own files, over and over where they are too few: memory as programs fill it.</summary>
    internal static byte[] Programs(int length)
    {
        byte[] memory = new byte[length];
        string[] files = [.. Directory.GetFiles(Path.GetDirectoryName(typeof(object).Assembly.Location)!).Order()];
        for (int i = 0, at = 0; at < length; i++)
        {
            byte[] file = File.ReadAllBytes(files[i % files.Length]);
            int part = Math.Min(file.Length, length - at);
            file.AsSpan(0, part).CopyTo(memory.AsSpan(at, part));
            at += part;
        }

        return memory;
    }

    /// <summary>Half of each page random, half one byte: about the best that LZ4 can meet, so that everything else weighs most.
    /// </summary>
    internal static byte[] HalfRandom(int length)
    {
        byte[] memory = new byte[length];
        var random = new Random(1);
        for (int at = 0, page = 0; at < length; at += 4096, page++)
        {
            random.NextBytes(memory.AsSpan(at, 2048));
            memory.AsSpan(at + 2048, 2048).Fill((byte)page);
        }

        return memory;
    }
}
