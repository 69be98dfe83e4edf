using System.Collections.Concurrent;
using System.Globalization;
using Xunit;

namespace XenTwoLevelCkpt.Channels.Tests;

/// <summary>Memory that is allocated is counted for the whole process: nothing else runs beside these tests.</summary>
[CollectionDefinition(nameof(AllocationTests), DisableParallelization = true)]
public sealed class AloneCollection;

/// <summary>What it costs in memory to carry frames.</summary>
[Collection(nameof(AllocationTests))]
public sealed class AllocationTests(ITestOutputHelper output)
{
    private const int FrameLength = 1400;
    private const int Bursts = 200;

    // On a busy machine more piles up between the two nodes than the shared pools keep; the steady state is the least.
    private const int Attempts = 5;

    // Octets that may be allocated for a batch, at both nodes together: messages, tasks and timers of both directions; and for
    // each of the 16 KiB into which HTTP/2 cuts it. The batch's own octets would be 16 times the latter.
    private const int ForBatch = 16 << 10;
    private const int ForCut = 1 << 10;

    [Fact]
    public async Task Nothing_is_allocated_for_a_frame()
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("allocation-test-");
        var errors = new ConcurrentQueue<string>();
        using var source = new BurstUplink();
        using var target = new BurstUplink();
        try
        {
            await using NodeMessenger second = Make(1, port: 1, target, folder, errors);
            await using MessengerHost host = await MessengerHost.StartAsync(second, new Collector(errors));
            second.Start();
            await using NodeMessenger first = Make(0, host.Port, source, folder, errors);
            first.Start();

            // There, and back: a client and a server of HTTP/2 both send and receive.
            await MeasureAsync(source, target, "first to second");
            await MeasureAsync(target, source, "second to first");
            Assert.Empty(errors);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private async Task MeasureAsync(BurstUplink from, BurstUplink to, string way)
    {
        foreach (int frames in (int[])[1, 480])
        {
            await CarryAsync(from, to, frames);
            long batch = long.MaxValue;
            for (int attempt = 0; attempt < Attempts; attempt++)
            {
                long before = GC.GetTotalAllocatedBytes(precise: true);
                await CarryAsync(from, to, frames);
                batch = Math.Min(batch, (GC.GetTotalAllocatedBytes(precise: true) - before) / Bursts);
            }

            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{way}: {batch} octets for a batch of {frames} frames"));
            Assert.InRange(batch, 0, ForBatch + (frames * FrameLength / (16 << 10) * ForCut));
        }
    }

    // A burst is a batch: the next one begins when it has arrived.
    private static async Task CarryAsync(BurstUplink from, BurstUplink to, int frames)
    {
        for (int i = 0; i < Bursts; i++)
        {
            to.Expect(frames);
            from.Offer(frames);
            Assert.True(await to.Arrived.WaitAsync(TimeSpan.FromMinutes(5)), "the burst has not arrived");
        }
    }

    private static NodeMessenger Make(
        int i, int port, IUplink uplink, DirectoryInfo folder, ConcurrentQueue<string> errors)
    {
        var checkpoints = new PromptCheckpoints();
        checkpoints.Messenger = NodeMessenger.Create("bcs", new NodeMessengerOptions
        {
            Cluster = Guid.Empty,
            Node = $"node{i}",
            Peers = [new PeerAddress($"node{1 - i}", "127.0.0.1", port)],
            LogDirectory = Path.Combine(folder.FullName, $"log{i}"),
        }, uplink, checkpoints, new Collector(errors));
        return checkpoints.Messenger;
    }

    /// <summary>Gives a number of frames at once, and counts those that come. Allocates nothing.</summary>
    private sealed class BurstUplink : IUplink
    {
        private readonly AutoResetEvent _ready = new(initialState: false);
        private int _offered;
        private int _expected;

        internal SemaphoreSlim Arrived { get; } = new(0);

        public int HeaderSize => 0;

        public bool MayLose => false;

        public long Dropped => 0;

        internal void Offer(int frames)
        {
            _ = Interlocked.Add(ref _offered, frames);
            _ = _ready.Set();
        }

        internal void Expect(int frames) => Volatile.Write(ref _expected, frames);

        public bool Wait(TimeSpan timeout) => _ready.WaitOne(timeout);

        public void Wake() => _ready.Set();

        public int Read(Span<byte> frame)
        {
            if (Volatile.Read(ref _offered) == 0)
            {
                return 0;
            }

            _ = Interlocked.Decrement(ref _offered);
            frame[..FrameLength].Fill(0x42);
            return FrameLength;
        }

        public void Write(ReadOnlySpan<byte> frame, Audience? audience = null)
        {
            if (frame.Length == FrameLength && !frame.ContainsAnyExcept((byte)0x42) && Interlocked.Decrement(ref _expected) == 0)
            {
                _ = Arrived.Release();
            }
        }

        public byte[] Save() => [];

        public void Restore(ReadOnlySpan<byte> saved)
        {
        }

        public void Admit(IReadOnlyCollection<Guid> guests, ReadOnlySpan<byte> saved)
        {
        }

        public void Join(IReadOnlyCollection<Guid> guests)
        {
        }

        public void Dispose()
        {
            _ready.Dispose();
            Arrived.Dispose();
        }
    }
}
