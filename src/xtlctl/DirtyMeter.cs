using System.Diagnostics;
using System.Runtime.InteropServices;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Control;

/// <summary>Measures how fast a domain dirties its memory and how fast the dirty pages can be copied.</summary>
/// <param name="domain">The domain, running.</param>
internal sealed class DirtyMeter(IDomain domain)
{
    private const int PageSize = 4096;

    /// <summary>The most pages copied by one call: 4 MiB bound the buffer, and larger batches are no faster.</summary>
    private const int BatchPages = 1024;

    private readonly List<DirtySample> _samples = [];
    private readonly List<PfnRun> _batch = [];
    private readonly List<long> _unread = [];
    private ulong[] _seen = [];
    private long _copied;
    private TimeSpan _copyTime;

    /// <summary>Samples the domain's dirty log, and switches it off again in any case.</summary>
    /// <param name="duration">How long to sample.</param>
    /// <param name="interval">Time between samples.</param>
    /// <param name="onSample">Called after each sample.</param>
    /// <param name="cancellationToken">Ends the measurement early; what was measured so far is reported.</param>
    internal async Task<DirtyReport> MeasureAsync(
        TimeSpan duration, TimeSpan interval, Action<DirtySample>? onSample, CancellationToken cancellationToken)
    {
        DomainInfo info = domain.GetInfo();
        using var buffer = new AnonymousMapping(BatchPages * PageSize);
        using IDirtyLog log = domain.StartDirtyLog();
        _seen = new ulong[DirtyBitmap.WordsFor(log.PfnCount)];

        // What was written between the start of the log and this moment belongs to no interval.
        _ = log.Clean();
        long start = Stopwatch.GetTimestamp();
        TimeSpan elapsed = TimeSpan.Zero;
        for (TimeSpan due = interval; elapsed < duration && !cancellationToken.IsCancellationRequested; due += interval)
        {
            TimeSpan wait = (due < duration ? due : duration) - Stopwatch.GetElapsedTime(start);
            if (wait > TimeSpan.Zero)
            {
                await Task.Delay(wait, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }

            DirtyBitmap dirty = log.Clean();
            elapsed = Stopwatch.GetElapsedTime(start);
            DirtySample sample = Take(dirty, elapsed, buffer);
            _samples.Add(sample);
            onSample?.Invoke(sample);
            // An interval that was missed, because copying took longer than it, is not made up for.
            due = elapsed > due ? elapsed : due;
        }

        long pages = _samples.Sum(s => s.Pages);
        return new DirtyReport(
            DomainJson.From(info), log.PfnCount, Math.Round(elapsed.TotalSeconds, 3), pages,
            _seen.Sum(word => (long)ulong.PopCount(word)),
            Math.Round(pages / elapsed.TotalSeconds, 1),
            domain.CanCopyPages ? _copied : null,
            domain.CanCopyPages && _copied > 0
                ? Math.Round(_copied * PageSize / 1048576.0 / _copyTime.TotalSeconds, 1)
                : null,
            _samples);
    }

    private DirtySample Take(DirtyBitmap dirty, TimeSpan at, AnonymousMapping buffer)
    {
        long pages = dirty.CountPages();
        long runs = 0;
        for (int i = 0; i < _seen.Length; i++)
        {
            _seen[i] |= dirty.Words[i];
        }

        long start = Stopwatch.GetTimestamp();
        int batched = 0;
        foreach (PfnRun run in dirty.EnumerateRuns())
        {
            runs++;
            for (int done = 0; done < run.Count && domain.CanCopyPages;)
            {
                int count = Math.Min(BatchPages - batched, run.Count - done);
                _batch.Add(new PfnRun(run.First + done, count));
                done += count;
                batched += count;
                if (batched == BatchPages)
                {
                    CopyBatch(buffer);
                    batched = 0;
                }
            }
        }

        if (!domain.CanCopyPages)
        {
            return new DirtySample(Math.Round(at.TotalSeconds, 3), pages, runs, null);
        }

        CopyBatch(buffer);
        TimeSpan time = Stopwatch.GetElapsedTime(start);
        _copyTime += time;
        return new DirtySample(
            Math.Round(at.TotalSeconds, 3), pages, runs, Math.Round(time.TotalMilliseconds, 3));
    }

    /// <summary>Copies the runs collected, as a checkpoint would: many short runs by one mapping.</summary>
    private void CopyBatch(AnonymousMapping buffer)
    {
        if (_batch.Count > 0)
        {
            _copied += domain.CopyPages(
                CollectionsMarshal.AsSpan(_batch), buffer.Span(0, BatchPages * PageSize), _unread);
            _batch.Clear();
        }
    }
}
