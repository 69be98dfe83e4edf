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
    private readonly List<(long[] Pfns, int First)> _staged = [];
    private readonly PageHash _hash = new();
    private ImageWriter? _writer;
    private volatile bool _suspended;
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
        _staged.Clear();
        if (full)
        {
            Array.Clear(_saved);
            _populated.Clear();
        }
    }

    internal void BeginStream()
    {
        Array.Fill(_types, (byte)PageType.Unpopulated);
        _suspended = false;
    }

    /// <summary>From now on pages go into the staging area: the guest is suspended, and nobody waits for a disk.</summary>
    internal void Stage() => _suspended = true;

    internal void Add(ReadOnlySpan<long> pfns, ReadOnlySpan<XlPageType> types, ReadOnlySpan<byte> data)
    {
        int at = 0;
        var kept = new List<long>(pfns.Length);
        int first = 0;
        if (_suspended && !_staging.TryReserve(pfns.Length, out first))
        {
            throw new StagingFullException(pfns.Length, _staging.Pages);
        }

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
                page.CopyTo(_staging.Span(first + kept.Count, 1));
                kept.Add(pfns[i]);
            }
            else
            {
                Write(pfns[i], page);
            }
        }

        if (kept.Count > 0)
        {
            _residual += kept.Count;
            _staged.Add(([.. kept], first));
        }
    }

    /// <summary>The types of all pages, once the stream has ended.</summary>
    internal byte[] TakeTypes() => [.. _types];

    /// <summary>Writes what was staged, and what is not there any more. The guest runs again.</summary>
    internal void WriteStaged()
    {
        foreach ((long[] pfns, int first) in _staged)
        {
            for (int i = 0; i < pfns.Length; i++)
            {
                Write(pfns[i], _staging.Span(first + i, 1));
            }
        }

        _staged.Clear();
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

    internal void DropStaged() => _staged.Clear();

    // The hash says what the chain of images, the open one included, has of the page.
    private void Write(long pfn, ReadOnlySpan<byte> page)
    {
        UInt128 hash = _hash.Of(page);
        if (hash == 0)
        {
            // Zero says: never written.
            hash = 1;
        }

        if (_saved[pfn] == hash)
        {
            _unchanged++;
            return;
        }

        _writer!.AddUnits(new PfnRun(pfn, 1), page);
        _saved[pfn] = hash;
        _copied++;
    }
}
