using System.Security.Cryptography;
using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.NativeInterop.Memory;
using XenTwoLevelCkpt.NativeInterop.Xen;
using XenTwoLevelCkpt.XlStream;

namespace XenTwoLevelCkpt.Dom0Tests;

/// <summary>libxenguest as the oracle: while the guest stands still in the window of a checkpoint, its own saver, which
/// <c>xl save</c> runs, writes every page. The chain has to say the same of each.</summary>
public sealed class PageOracleTests
{
    /// <summary>Increments before the one that is compared: pages of each, and of the full one, are in what it folds to.
    /// </summary>
    private const ulong Increments = 4;

    /// <summary>What a block of the stepper's disk begins with ("XTDISBLK"). The backend reads blocks into pages that it keeps
    /// mapped (persistent grants), which no log shows, and the guest copies them out of there: a restored guest reads anew what
    /// it had asked for.</summary>
    private const ulong DiskBlock = 0x5854_4449_5342_4C4B;

    /// <summary>The two pages that control domains write while the guest is suspended, by their HVM parameters: the rings of
    /// xenstore and of the console. A restored guest gets both anew.</summary>
    private static readonly uint[] Rings = [1, 17];

    [Theory]
    [InlineData(null)]
    [InlineData(64)]
    [InlineData(0)]
    public async Task Every_page_of_a_checkpoint_is_the_one_that_libxenguest_saves_at_that_moment(int? cacheEntries)
    {
        await using OracleGuest target = new(await XenTarget.PvhAsync());
        string folder = Directory.CreateTempSubdirectory("xtl-oracle-").FullName;
        try
        {
            using DirectoryStore store = DirectoryStore.Open(Path.Combine(folder, "store"));
            await using var node = new NodeCheckpointer(
                target.Hypervisor, store, new NoDisks(), new NodeOptions
                {
                    StateDirectory = Path.Combine(folder, "state"),
                    Domains = [target.GuestUuid],
                    MemoryOnly = true,
                    CacheEntries = cacheEntries,
                    SuspendTimeout = target.SuspendTimeout,
                });
            node.Start();
            for (ulong k = 1; k < 1 + Increments; k++)
            {
                _ = await node.CheckpointAsync(k, cancellationToken: TestContext.Current.CancellationToken);
                await target.LetRunAsync();
            }

            string file = Path.Combine(folder, "oracle");
            node.Fault = step =>
            {
                if (step == NodeStep.Collected)
                {
                    target.Save(file);
                }
            };
            CheckpointReport last = await node.CheckpointAsync(
                1 + Increments, cancellationToken: TestContext.Current.CancellationToken);
            node.Fault = null;
            Assert.Null(last.Domains[0].FullBecause);

            var expected = new Oracle();
            using (FileStream stream = File.OpenRead(file))
            {
                new LibxcStreamReader(stream).ReadToEnd(expected);
            }

            var found = new Found();
            using (Chain chain = Chain.Open(store, last.Id, target.GuestUuid, ImageContent.Memory))
            {
                chain.Visit(found);
            }

            Assert.Equal(expected.Pages.Keys.Order(), found.Pages.Keys.Order());
            long[] rings = target.Parameters(Rings);
            long[] differ =
            [
                .. expected.Pages
                    .Where(p => found.Pages[p.Key] != p.Value && p.Value.Start != DiskBlock).Select(p => p.Key),
            ];
            Assert.True(
                differ.Except(rings).Any() is false,
                $"of {expected.Pages.Count} pages these differ: {string.Join(' ', differ.Select(p => p.ToString("x")))}");
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private sealed class OracleGuest(Hypervisor.Conformance.IConformanceTarget target) : IAsyncDisposable
    {
        private readonly XenInterface _xen = XenInterface.Open();

        internal IHypervisor Hypervisor => target.Hypervisor;

        internal Guid GuestUuid => target.GuestUuid;

        internal TimeSpan SuspendTimeout => target.SuspendTimeout;

        private uint Domid => (uint)Hypervisor.ListDomains().Single(d => d.Uuid == GuestUuid).Id;

        internal Task LetRunAsync() => target.LetRunAsync(TestContext.Current.CancellationToken);

        internal void Save(string path)
        {
            using FileStream file = File.Create(path);
            _xen.SaveDomain(Domid, file.SafeFileHandle, live: false, () => { });
        }

        internal long[] Parameters(uint[] which) => [.. which.Select(p => (long)_xen.GetHvmParam(Domid, p))];

        public async ValueTask DisposeAsync()
        {
            _xen.Dispose();
            await target.DisposeAsync();
        }
    }

    private readonly record struct Page(string Digest, ulong Start)
    {
        internal static Page Of(ReadOnlySpan<byte> data) =>
            new(Convert.ToHexString(SHA256.HashData(data)), BitConverter.ToUInt64(data));
    }

    private sealed class Oracle : XlStateVisitor
    {
        internal Dictionary<long, Page> Pages { get; } = [];

        public override void OnPages(ReadOnlySpan<long> pfns, ReadOnlySpan<XlPageType> types, ReadOnlySpan<byte> data)
        {
            int at = 0;
            for (int i = 0; i < pfns.Length; i++)
            {
                if (types[i].HasContents())
                {
                    Pages[pfns[i]] = Page.Of(data.Slice(at, 4096));
                    at += 4096;
                }
            }
        }
    }

    private sealed class Found : ImageVisitor
    {
        private static readonly Page Zero = Page.Of(new byte[4096]);

        internal Dictionary<long, Page> Pages { get; } = [];

        public override void OnData(PfnRun run, ReadOnlySpan<byte> data)
        {
            for (int i = 0; i < run.Count; i++)
            {
                Pages[run.First + i] = Page.Of(data.Slice(i * 4096, 4096));
            }
        }

        public override void OnZero(PfnRun run)
        {
            for (long pfn = run.First; pfn < run.End; pfn++)
            {
                Pages[pfn] = Zero;
            }
        }

        public override void OnUnpopulated(PfnRun run)
        {
            for (long pfn = run.First; pfn < run.End; pfn++)
            {
                _ = Pages.Remove(pfn);
            }
        }
    }
}
