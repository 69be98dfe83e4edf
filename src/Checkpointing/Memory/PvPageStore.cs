using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.NativeInterop.Memory;
using XenTwoLevelCkpt.XlStream;

namespace XenTwoLevelCkpt.Checkpointing.Memory;

/// <summary>Pages of a PV guest's stream on their way into an image: those that the chain of images has already are left
/// out; those that come while the guest is suspended wait in the staging area.</summary>
internal sealed class PvPageStore
{
    // In the place of pages whose contents are of no interest.
    private static readonly byte[] Zeros = new byte[PageSize.Bytes];

    private readonly StagingArea _staging;
    private readonly UInt128[] _saved;
    private readonly byte[] _types;
    private readonly PageSet _populated;
    private readonly List<(long Pfn, int Place)> _staged = [];
    private readonly HashSet<long> _stagedPages = [];
    private readonly PageHash _hash = new();

    /// <summary>Streams of several guests are taken apart side by side, on this many processors: the guests need the others.
    /// </summary>
    private static readonly SemaphoreSlim Processors = new(2);

    private ImageWriter? _writer;
    private volatile bool _suspended;

    // Nothing came while the guest ran: the hypervisor has no log for it.
    private volatile bool _allSuspended;
    private bool _any;
    private long _copied;
    private long _unchanged;
    private long _residual;
    private long _unpopulated;

    internal PvPageStore(long pfnCount, StagingArea staging)
    {
        _staging = staging;
        PfnCount = pfnCount;
        _saved = new UInt128[pfnCount];
        _types = new byte[pfnCount];
        _populated = new PageSet(pfnCount);
    }

    internal long PfnCount { get; }

    internal long PopulatedPages => _populated.View.CountPages();

    internal MemoryStatistics Statistics => new(_copied + _unchanged, _unchanged, _copied, 0, 0, _residual, _unpopulated, 1);

    internal void BeginEpoch(ImageWriter writer, bool full)
    {
        _writer = writer;
        _copied = _unchanged = _residual = _unpopulated = 0;
        DropStaged();
        if (full)
        {
            Array.Clear(_saved);
            _populated.Clear();
        }
    }

    internal void BeginStream()
    {
        Array.Fill(_types, (byte)PageType.Unpopulated);
        _suspended = _allSuspended = _any = false;
    }

    /// <summary>From now on pages go into the staging area: the guest is suspended, and nobody waits for a disk.</summary>
    internal void Stage()
    {
        _allSuspended = !Volatile.Read(ref _any);
        _suspended = true;
    }

    internal void Add(ReadOnlySpan<long> pfns, ReadOnlySpan<XlPageType> types, ReadOnlySpan<byte> data)
    {
        if (_suspended)
        {
            Take(pfns, types, data);
            return;
        }

        Volatile.Write(ref _any, true);
        Processors.Wait();
        try
        {
            Take(pfns, types, data);
        }
        finally
        {
            _ = Processors.Release();
        }
    }

    private void Take(ReadOnlySpan<long> pfns, ReadOnlySpan<XlPageType> types, ReadOnlySpan<byte> data)
    {
        int at = 0;
        for (int i = 0; i < pfns.Length; i++)
        {
            if (pfns[i] >= PfnCount)
            {
                throw new MemoryMapGrownException(PfnCount, pfns[i] + 1);
            }

            _types[pfns[i]] = (byte)types[i];
            ReadOnlySpan<byte> page = Zeros;
            if (types[i].HasContents())
            {
                page = data.Slice(at, PageSize.Bytes);
                at += PageSize.Bytes;
            }
            else if (types[i] != XlPageType.AllocateOnly)
            {
                continue;
            }

            if (_suspended)
            {
                Keep(pfns[i], page);
            }
            else if (Write(pfns[i], page))
            {
                _copied++;
            }
            else
            {
                _unchanged++;
            }
        }
    }

    private void Keep(long pfn, ReadOnlySpan<byte> page)
    {
        // Not where another content of it is staged: what was still in the pipe when the guest was suspended comes here, too, and
        // the last one counts.
        if (_saved[pfn] == HashOf(page) && !_stagedPages.Contains(pfn))
        {
            _unchanged++;
            return;
        }

        _residual++;
        if (_allSuspended)
        {
            // All that changed may be more than any staging area, which is the other guests', too: this one waits for the store.
            _ = Write(pfn, page);
        }
        else if (_staging.TryReserve(1, out int place))
        {
            page.CopyTo(_staging.Span(place, 1));
            _staged.Add((pfn, place));
            _ = _stagedPages.Add(pfn);
        }
        else
        {
            throw new StagingFullException(_residual, _staging.Pages);
        }
    }

    /// <summary>The types of all pages, once the stream has ended.</summary>
    internal byte[] TakeTypes() => [.. _types];

    /// <summary>Writes what was staged, and what is not there any more. The guest runs again.</summary>
    internal void WriteStaged()
    {
        foreach ((long pfn, int place) in _staged)
        {
            _ = Write(pfn, _staging.Span(place, 1));
        }

        DropStaged();
        for (long pfn = 0; pfn < PfnCount; pfn++)
        {
            bool there = (PageType)_types[pfn] is not (PageType.Unpopulated or PageType.Broken);
            if (there)
            {
                _ = _populated.Add(pfn);
            }
            else if (_populated.Remove(pfn) || _saved[pfn] != 0)
            {
                _saved[pfn] = 0;
                _unpopulated++;
                _writer!.AddUnpopulated(new PfnRun(pfn, 1));
            }
        }
    }

    internal void DropStaged()
    {
        _staged.Clear();
        _stagedPages.Clear();
    }

    // The hash says what the chain of images, the open one included, has of the page.
    private bool Write(long pfn, ReadOnlySpan<byte> page)
    {
        UInt128 hash = HashOf(page);
        if (_saved[pfn] == hash)
        {
            return false;
        }

        _writer!.AddUnits(new PfnRun(pfn, 1), page);
        _saved[pfn] = hash;
        return true;
    }

    // Zero says: never written.
    private UInt128 HashOf(ReadOnlySpan<byte> page)
    {
        UInt128 hash = _hash.Of(page);
        return hash == 0 ? 1 : hash;
    }
}
