using System.Buffers.Binary;
using XenTwoLevelCkpt.Checkpointing.Cache;
using XenTwoLevelCkpt.Checkpointing.Memory;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Hypervisor.Model;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.NativeInterop.Memory;
using Xunit;

namespace XenTwoLevelCkpt.Checkpointing.Tests;

/// <summary>The memory of one model guest, captured epoch by epoch and folded: what a chain of images says of it, and what it
/// is.</summary>
internal sealed class CapturedGuest : IDisposable
{
    /// <summary>Four whole batches of a copy, and a part of one.</summary>
    internal const int Pages = (4 * CopyBatch.Capacity) + 100;

    private readonly ModelHypervisor _hypervisor = new();
    private readonly CopyBatch _batch = new(new CopyRate());
    private readonly StagingArea _staging;
    private readonly Folded _folded = new();
    private ulong _written;
    private MemoryStream? _stream;
    private ImageWriter? _writer;

    internal CapturedGuest(int cacheEntries, int stagingPages = 2 * Pages)
    {
        _staging = new StagingArea(stagingPages);
        Guest = _hypervisor.CreateDomain(
            new ModelDomainOptions { Name = "a", MemoryPages = Pages, MaxMemoryPages = Pages + 256, DiskBlocks = 0 });
        Domain = _hypervisor.OpenDomain(Guest.Uuid);
        Capture = new MemoryCapture(Domain, new DirtyPageCache(cacheEntries), _batch);
    }

    internal ModelGuest Guest { get; }

    internal IDomain Domain { get; }

    internal MemoryCapture Capture { get; }

    /// <summary>Writes 8 octets that no page had before, and leaves the pages dirty.</summary>
    internal void Write(IEnumerable<long> pages)
    {
        Span<byte> data = stackalloc byte[8];
        foreach (long pfn in pages)
        {
            using WritableMapping mapping = Guest.Map(pfn, MappingOwner.Backend);
            BinaryPrimitives.WriteUInt64LittleEndian(data, ++_written);
            mapping.Write((int)(pfn % 511) * 8, data);
        }
    }

    internal void Begin(bool full)
    {
        _writer?.Dispose();
        _stream = new MemoryStream();
        _writer = new ImageWriter(
            _stream,
            new ImageHeader
            {
                DomainUuid = Guest.Uuid,
                CheckpointId = Guid.NewGuid(),
                ParentId = full ? Guid.Empty : Guid.NewGuid(),
                Epoch = 1,
                Created = DateTimeOffset.UnixEpoch,
                Content = ImageContent.Memory,
                Kind = full ? ImageKind.Full : ImageKind.Increment,
                UnitSize = 4096,
                UnitCount = Capture.PfnCount,
            },
            "image");
        if (full)
        {
            _folded.Pages.Clear();
        }

        Capture.BeginEpoch(_writer, full);
    }

    internal void Feed()
    {
        while (Capture.FeedLeft > 0)
        {
            _ = Capture.Feed(4096);
        }
    }

    /// <summary>The suspension and all behind it: the image is complete, and taken into what the chain says.</summary>
    internal void Finish(bool compareTypes = false, Action? suspended = null)
    {
        Capture.Approach(TestContext.Current.CancellationToken);
        Capture.LookLast();
        Close(compareTypes, suspended);
    }

    /// <summary>As <see cref="Finish"/>, without a look right before the suspension.</summary>
    internal void Close(bool compareTypes = false, Action? suspended = null)
    {
        Guest.SuspendFromOutside();
        suspended?.Invoke();
        _staging.Clear();
        Capture.Collect(_staging, compareTypes);
        Domain.Resume();
        Capture.Confirm();
        Capture.WriteResidual(_staging);
        _ = _writer!.Complete(new CheckpointClosing(1, DateTimeOffset.UnixEpoch));
        using var reader = new ImageReader(new MemoryStream(_stream!.ToArray()), "image");
        reader.ReadToEnd(_folded);
    }

    /// <summary>A window that comes to nothing.</summary>
    internal void CollectAndRollBack(bool compareTypes, Action suspended)
    {
        Guest.SuspendFromOutside();
        suspended();
        _staging.Clear();
        Capture.Collect(_staging, compareTypes);
        Domain.Resume();
        Capture.Rollback();
    }

    /// <summary>The chain says of each page what the guest has, and of none that it has not.</summary>
    internal void AssertWhole()
    {
        long populated = 0;
        for (long pfn = 0; pfn < Guest.PfnCount; pfn++)
        {
            if (!((ModelVcpu)Guest.View).IsPopulated(pfn))
            {
                continue;
            }

            populated++;
            Assert.True(_folded.Pages.TryGetValue(pfn, out byte[]? page), $"page {pfn:x} is missing");
            Assert.True(Guest.View.ReadPage(pfn).SequenceEqual(page), $"page {pfn:x} is not what it was");
        }

        Assert.Equal(populated, _folded.Pages.Count);
    }

    public void Dispose()
    {
        Capture.Dispose();
        _writer?.Dispose();
        _batch.Dispose();
        _staging.Dispose();
        Domain.Dispose();
        _hypervisor.Dispose();
    }

    private sealed class Folded : ImageVisitor
    {
        private static readonly byte[] Zero = new byte[4096];

        internal Dictionary<long, byte[]> Pages { get; } = [];

        public override void OnData(PfnRun run, ReadOnlySpan<byte> data)
        {
            for (int i = 0; i < run.Count; i++)
            {
                Pages[run.First + i] = data.Slice(i * 4096, 4096).ToArray();
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
