using XenTwoLevelCkpt.NativeInterop.Compression;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.Benchmarks.Node;

/// <summary>K4os over liblz4, by processor time, in turn in each round: what a node without liblz4 pays. And what checking a
/// block's rules adds to decompressing it.</summary>
internal static class Lz4Benchmark
{
    private const int Rounds = 9;
    private const int Length = 64 << 20;

    internal static void Run(BenchmarkOutput output)
    {
        ILz4Codec native = Lz4.Choose(Lz4H.Library);
        ILz4Codec managed = new ManagedLz4();
        if (native is ManagedLz4)
        {
            throw new InvalidOperationException("There is no liblz4 to compare with: install liblz4-1.");
        }

        Console.WriteLine($"K4os over {native.Name}, MiB a second of processor time");
        output.Header("what", "KiB", "stored", "direction", "K4os", "liblz4", "ratio");
        foreach ((string what, byte[] data) in new[]
        {
            ("programs", BenchmarkMemory.Programs(Length)), ("half random", BenchmarkMemory.HalfRandom(Length)),
        })
        {
            foreach (int block in new[] { 64 << 10, 256 << 10 })
            {
                Compare(output, what, data, block, native, managed);
            }
        }
    }

    private static void Compare(
        BenchmarkOutput output, string what, byte[] data, int size, ILz4Codec native, ILz4Codec managed)
    {
        int count = data.Length / size;
        byte[] buffer = new byte[Lz4.MaxCompressedLength(size)];
        byte[][] blocks = [.. Enumerable.Range(0, count).Select(
            i => buffer[..Lz4.Compress(native, data.AsSpan(i * size, size), buffer)])];
        var compress = new Times();
        var decompress = new Times();
        var check = new Times();
        for (int round = 0; round < Rounds; round++)
        {
            compress.Add(() => Compress(managed), () => Compress(native));
            decompress.Add(() => Decompress(managed), () => Decompress(native));
            check.Add(Check, () => Decompress(managed));
        }

        object stored = blocks.Sum(b => (long)b.Length) / (double)data.Length;
        foreach ((string direction, Times times) in new[] { ("compress", compress), ("decompress", decompress) })
        {
            output.Row(
                what, size >> 10, stored, direction, data.Length / times.Ours / (1 << 20),
                data.Length / times.Peer / (1 << 20), times.Peer / times.Ours);
        }

        output.Row(what, size >> 10, stored, "rules / K4os", "-", "-", check.Ours / check.Peer);

        void Compress(ILz4Codec codec)
        {
            for (int i = 0; i < count; i++)
            {
                _ = codec.Compress(data.AsSpan(i * size, size), buffer);
            }
        }

        void Decompress(ILz4Codec codec)
        {
            foreach (byte[] block in blocks)
            {
                _ = codec.Decompress(block, buffer.AsSpan(0, size));
            }
        }

        void Check()
        {
            foreach (byte[] block in blocks)
            {
                _ = Lz4Block.IsValid(block, size);
            }
        }
    }

    /// <summary>Processor seconds of two sides that run in turn; the least of each side's rounds.</summary>
    private sealed class Times
    {
        internal double Ours { get; private set; } = double.MaxValue;

        internal double Peer { get; private set; } = double.MaxValue;

        internal void Add(Action ours, Action peer)
        {
            Ours = Math.Min(Ours, Measure(ours));
            Peer = Math.Min(Peer, Measure(peer));
        }

        private static double Measure(Action action)
        {
            TimeSpan before = Environment.CpuUsage.TotalTime;
            action();
            return (Environment.CpuUsage.TotalTime - before).TotalSeconds;
        }
    }
}
