using System.Diagnostics;
using XenTwoLevelCkpt.Hypervisor;

namespace XenTwoLevelCkpt.Checkpointing.Node;

/// <content>Between checkpoints: looking at the dirty logs, and writing what the caches have no room for.</content>
public sealed partial class NodeCheckpointer
{
    /// <summary>Pages of a full image that are copied between two looks at the dirty logs: 16 MiB, some tens of
    /// milliseconds, so that the cache sees what the guests write meanwhile.</summary>
    private const int FeedPages = 4096;

    /// <summary>As many where the copy is held back: a domain's backends and the guests themselves wait for a piece at most.
    /// </summary>
    private const int PacedFeedPages = 1024;

    /// <summary>Looking at the logs may take this share of the time: the guests stand still while Xen copies a bitmap.
    /// </summary>
    private const double MaxSamplingShare = 0.02;

    private readonly CancellationTokenSource _stop = new();
    private Task? _sampling;
    private TimeSpan _interval;
    private long _copied;

    /// <summary>Begins to save pages in the background, until this object is disposed.</summary>
    public void Start()
    {
        _interval = _options.MinSampleInterval;
        _sampling ??= Task.Factory.StartNew(
            () => SampleUntil(_stop.Token), CancellationToken.None, TaskCreationOptions.LongRunning,
            TaskScheduler.Default);
    }

    /// <summary>One look, for tests that do not want to wait for one.</summary>
    internal void SampleOnce()
    {
        _gate.Wait();
        try
        {
            Sample();
        }
        finally
        {
            _ = _gate.Release();
        }
    }

    private async Task StopSamplingAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        if (_sampling is { } sampling)
        {
            await sampling.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        _stop.Dispose();
    }

    private void SampleUntil(CancellationToken stopped)
    {
        while (!stopped.WaitHandle.WaitOne(_interval))
        {
            if (!_gate.Wait(0, CancellationToken.None))
            {
                continue;
            }

            try
            {
                // With a cache of no entries everything stays in Xen's log until the suspension.
                if (_draft is not null && _options.CacheEntries != 0)
                {
                    Sample();
                }
            }
            finally
            {
                _ = _gate.Release();
            }
        }
    }

    // One look at all logs. What goes wrong with a domain breaks its epoch, and the next checkpoint is full.
    private void Sample()
    {
        long start = Stopwatch.GetTimestamp();
        double fill = 0;
        Pacer.Begin();
        foreach (DomainCapture capture in _roster.Present)
        {
            if (capture.IsOpen)
            {
                long dirty = Guarded(capture, () => capture.Memory.Sample());
                fill = Math.Max(fill, (double)dirty / Math.Max(1, capture.Memory.Cache?.Limit ?? int.MaxValue));
                _ = Guarded(capture, () => capture.Memory.Feed(_options.BackgroundShare >= 1 ? FeedPages : PacedFeedPages));
            }
        }

        SetLimits();
        Adapt(fill, Stopwatch.GetElapsedTime(start));
    }

    // A look that finds more than a quarter of the cache dirty comes too late to tell hot pages from cold ones; one that
    // finds next to nothing comes too often.
    private void Adapt(double fill, TimeSpan took)
    {
        TimeSpan interval = fill > 0.25 ? _interval / 2 : fill < 0.0625 ? _interval * 1.5 : _interval;
        TimeSpan cheapest = took / MaxSamplingShare;
        TimeSpan rest = Pacer.Done(CopiedSince());
        interval = interval < _options.MinSampleInterval ? _options.MinSampleInterval
            : interval > _options.MaxSampleInterval ? _options.MaxSampleInterval
            : interval;
        interval = interval < cheapest ? cheapest : interval;
        _interval = interval < rest ? rest : interval;
    }

    // Octets of memory that were copied to the open images since this was asked last.
    private long CopiedSince()
    {
        long copied = _roster.Present.Sum(c => c.Memory.Statistics.Evicted + c.Memory.Statistics.Fed);
        long pages = Math.Max(0, copied - _copied);
        _copied = copied;
        return pages * Memory.PageSize.Bytes;
    }

    private long Guarded(DomainCapture capture, Func<long> action)
    {
        try
        {
            return action();
        }
        catch (DomainNotFoundException)
        {
            // Found out about, and dropped, by the next checkpoint.
            capture.Break("the domain was gone");
        }
        catch (Exception e) when (e is HypervisorException or IOException)
        {
            Break(capture, e);
        }

        return 0;
    }

    private void Break(DomainCapture capture, Exception cause)
    {
        capture.Break(cause.Message);
        Log?.Invoke($"The next checkpoint of domain {capture.Name} will be a full one: {cause.Message}");
    }
}
