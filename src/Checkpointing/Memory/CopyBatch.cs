using System.Diagnostics;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Checkpointing.Memory;

/// <summary>
/// Pages that leave the cache, gathered to be copied by runs and written. Serves all domains of a node, one after the
/// other; allocates nothing once made.
/// </summary>
internal sealed class CopyBatch : IDisposable
{
    /// <summary>Pages of a batch: 4 MiB, the most that one record of an image holds, and the most that one mapping of
    /// foreign pages takes.</summary>
    internal const int Capacity = 1024;

    private readonly long[] _pages = new long[Capacity];
    private readonly PfnRun[] _runs = new PfnRun[Capacity];
    private readonly List<long> _unread = new(Capacity);
    private readonly AnonymousMapping _memory = new((long)Capacity * PageSize.Bytes);
    private readonly CopyRate _rate;
    private int _count;

    internal CopyBatch(CopyRate rate) => _rate = rate;

    /// <summary>True where <see cref="Write"/> has to come before the next <see cref="Add"/>.</summary>
    internal bool IsFull => _count == Capacity;

    /// <summary>Adds a page.</summary>
    internal void Add(long pfn) => _pages[_count++] = pfn;

    /// <summary>Copies the pages and adds them to an image.</summary>
    /// <param name="domain">The domain, running or not.</param>
    /// <param name="writer">Receives the pages.</param>
    /// <returns>Pages that could not be read; valid until the next call.</returns>
    internal List<long> Write(IDomain domain, ImageWriter writer)
    {
        _unread.Clear();
        if (_count == 0)
        {
            return _unread;
        }

        Array.Sort(_pages, 0, _count);
        int runs = MakeRuns();
        Span<byte> data = _memory.Span(0, _count * PageSize.Bytes);
        long start = Stopwatch.GetTimestamp();
        _ = domain.CopyPages(_runs.AsSpan(0, runs), data, _unread);
        _rate.Add(_count, Stopwatch.GetElapsedTime(start));
        if (_unread.Count == 0)
        {
            writer.AddUnits(_runs.AsSpan(0, runs), data);
        }
        else
        {
            WriteOnlyRead(writer, data);
        }

        _count = 0;
        return _unread;
    }

    /// <summary>Forgets the pages.</summary>
    internal void Clear() => _count = 0;

    /// <inheritdoc/>
    public void Dispose() => _memory.Dispose();

    // A page can come twice: evicted, dirtied and evicted again within one batch.
    private int MakeRuns()
    {
        int runs = 0, distinct = 0;
        for (int i = 0; i < _count; i++)
        {
            long page = _pages[i];
            if (runs > 0 && page < _runs[runs - 1].End)
            {
                continue;
            }

            distinct++;
            if (runs > 0 && page == _runs[runs - 1].End)
            {
                _runs[runs - 1] = _runs[runs - 1] with { Count = _runs[runs - 1].Count + 1 };
            }
            else
            {
                _runs[runs++] = new PfnRun(page, 1);
            }
        }

        _count = distinct;
        return runs;
    }

    private void WriteOnlyRead(ImageWriter writer, ReadOnlySpan<byte> data)
    {
        int at = 0;
        for (int run = 0; at < _count; run++)
        {
            for (long pfn = _runs[run].First; pfn < _runs[run].End; pfn++, at++)
            {
                if (!_unread.Contains(pfn))
                {
                    writer.AddUnits(new PfnRun(pfn, 1), data.Slice(at * PageSize.Bytes, PageSize.Bytes));
                }
            }
        }
    }
}

/// <summary>How fast pages of guests are copied on this node: what the size of the cache follows from.</summary>
internal sealed class CopyRate
{
    /// <summary>The weight of the past: about the last ten batches count.</summary>
    private const double Memory = 0.9;

    private double _pagesPerSecond;

    /// <summary>Pages copied in a second; 0 before anything was copied.</summary>
    internal double PagesPerSecond => Volatile.Read(ref _pagesPerSecond);

    /// <summary>Takes a measurement in.</summary>
    internal void Add(int pages, TimeSpan elapsed)
    {
        // Small batches measure the fixed costs of a call.
        if (pages < CopyBatch.Capacity / 8 || elapsed <= TimeSpan.Zero)
        {
            return;
        }

        double rate = pages / elapsed.TotalSeconds, past = PagesPerSecond;
        Volatile.Write(ref _pagesPerSecond, past == 0 ? rate : (past * Memory) + (rate * (1 - Memory)));
    }
}
