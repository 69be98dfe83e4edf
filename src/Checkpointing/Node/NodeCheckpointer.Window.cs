using System.Diagnostics;
using System.Runtime.ExceptionServices;
using XenTwoLevelCkpt.Checkpointing.Memory;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.NativeInterop.Threads;

namespace XenTwoLevelCkpt.Checkpointing.Node;

/// <content>The suspend window: from the requests to suspend until all domains run again.</content>
public sealed partial class NodeCheckpointer
{
    /// <summary>Between two looks at a domain that is about to suspend itself. A guest takes some 10 ms at least.</summary>
    private static readonly TimeSpan LookInterval = TimeSpan.FromMilliseconds(5);

    private TimeSpan[] _memoryTimes = [];
    private TimeSpan[] _registerTimes = [];
    private TimeSpan[] _diskTimes = [];
    private TimeSpan[] _channelTimes = [];
    private bool _rehearsed;

    private (PhaseTimes Phases, TimeSpan Pause, DateTimeOffset Captured) StopAndCollect(
        IProgress<CheckpointProgress>? progress, CancellationToken cancellationToken)
    {
        progress?.Report(new CheckpointProgress(CheckpointStage.Suspending, 0));
        PrepareWindow();
        _intent.SetSuspended(_captures.Select(c => c.Uuid));
        bool quiet = false;
        int? ordinary = null;
        long start = 0;
        IReadOnlyList<Exception?> failures = [];
        Exception? resumeFailure = null;
        TimeSpan suspended = default, collected = default, resumed = default;
        DateTimeOffset asked = default;
        try
        {
            Fault?.Invoke(NodeStep.IntentWritten);
            quiet = QuietWindow.TryBegin();
            asked = DateTimeOffset.UtcNow;
            start = Stopwatch.GetTimestamp();
            SuspendAll(cancellationToken);
            suspended = Stopwatch.GetElapsedTime(start);
            _channels.Suspended();

            // Not before: a thread that the pool starts inherits it from who asks for it.
            ordinary = UrgentThread.TryBegin();
            Fault?.Invoke(NodeStep.Suspended);
            failures = _crew.Run();
            Fault?.Invoke(NodeStep.Collected);
            collected = Stopwatch.GetElapsedTime(start);
        }
        finally
        {
            resumeFailure = ResumeAll();
            NoteThoseThatMaySuspend();
            resumed = Stopwatch.GetElapsedTime(start);
            UrgentThread.End(ordinary);
            if (quiet)
            {
                QuietWindow.End();
            }
        }

        if (resumeFailure is not null)
        {
            throw new HypervisorException($"A domain could not be resumed: {resumeFailure.Message}", resumeFailure);
        }

        _intent.SetSuspended(_maySuspend);
        ThrowFirst(failures);

        // Asked only now, when the guests run, whether a log was lost before its last reading.
        _captures.ForEach(c => Copy(c, m => m.Confirm()));
        for (int i = 0; i < _captures.Count; i++)
        {
            _captures[i].SetPhases(_memoryTimes[i], _registerTimes[i], _diskTimes[i], _channelTimes[i]);
        }

        return (new PhaseTimes(
            suspended, _registerTimes.Max(), _memoryTimes.Max(), _diskTimes.Max(), _channelTimes.Max(),
            resumed - collected),
            resumed, asked + suspended);
    }

    // When a process takes its first checkpoint, what runs in the window has never run: it would be bound and compiled while
    // the guests stand still. So it runs once before, with the guests running. What it finds goes back to where it was.
    private void Rehearse()
    {
        DomainCapture[] captures = [.. _captures.Where(c => c.Memory.Cache is not null)];
        if (_rehearsed || captures.Length == 0 || _options.CacheEntries == 0)
        {
            return;
        }

        _rehearsed = true;
        _staging.Clear();
        foreach (DomainCapture capture in captures)
        {
            Copy(capture, m => m.LookLast());
        }

        _crew.Prepare(item => _ = captures[item].CollectMemory(_staging, compareTypes: false), captures.Length, waits: false);
        IReadOnlyList<Exception?> failures = _crew.Run();
        Rollback();
        for (int i = 0; i < captures.Length; i++)
        {
            // Too many dirty pages are the window's own affair.
            if (failures[i] is { } failure and not StagingFullException)
            {
                throw Known(captures[i], failure);
            }
        }
    }

    // A domain's items of work are as many as there are domains apart; its memory is the first.
    private void ThrowFirst(IReadOnlyList<Exception?> failures)
    {
        for (int i = 0; i < _captures.Count; i++)
        {
            if (failures[i] is { } failure && _captures[i].Memory.IsIncomplete)
            {
                Break(_captures[i], failure);
            }
        }

        for (int i = 0; i < failures.Count; i++)
        {
            if (failures[i] is { } failure)
            {
                throw Known(_captures[i % _captures.Count], failure);
            }
        }
    }

    private static Exception Known(DomainCapture capture, Exception failure) => failure switch
    {
        HypervisorException or IOException => failure,
        _ => new HypervisorException($"Domain {capture.Name} could not be captured: {failure.Message}", failure),
    };

    private void PrepareWindow()
    {
        int count = _captures.Count;
        _staging.Clear();
        _memoryTimes = new TimeSpan[count];
        _registerTimes = new TimeSpan[count];
        _diskTimes = new TimeSpan[count];
        _channelTimes = new TimeSpan[count];

        // Memory first: it takes longest.
        _crew.Prepare(
            item =>
            {
                if (item < count)
                {
                    Fault?.Invoke(NodeStep.CollectingMemory);
                    _memoryTimes[item] = _captures[item].CollectMemory(
                        _staging, _compareInWindow || _options.CacheEntries == 0);
                }
                else
                {
                    Fault?.Invoke(NodeStep.CollectingState);
                    (_registerTimes[item - count], _diskTimes[item - count], _channelTimes[item - count]) =
                        _captures[item - count].CollectState(_channels);
                }
            },
            2 * count,
            waits: _captures.Exists(c => c.Disks.Count > 0));
    }

    // All at once, with one deadline. Where one fails, the others are not waited for. This thread waits for them, and goes
    // on with the window: handing that to another one would cost the guests the time of a switch.
    private void SuspendAll(CancellationToken cancellationToken)
    {
        using var giveUp = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        Task[] suspensions = [.. _captures.Select(c => SuspendAsync(c, giveUp))];
        try
        {
            LookUntilSuspended(suspensions);
            return;
        }
        catch (AggregateException)
        {
            // Which of them is the reason is found below.
        }

        // The reason, not the cancellations that follow from it.
        Exception? reason = suspensions
            .SelectMany(t => t.Exception?.InnerExceptions ?? Enumerable.Empty<Exception>())
            .FirstOrDefault(e => e is not OperationCanceledException);
        if (reason is not null)
        {
            ExceptionDispatchInfo.Throw(reason);
        }

        throw new OperationCanceledException(cancellationToken);
    }

    // A guest takes a while to suspend itself, and writes on meanwhile: all of that is in the window, and each page of it
    // would have to be mapped there. The looks have a quarter of the time at most: a guest stands still for each.
    private void LookUntilSuspended(Task[] suspensions)
    {
        TimeSpan pause = LookInterval;
        while (!Task.WaitAll(suspensions, pause))
        {
            long start = Stopwatch.GetTimestamp();
            for (int i = 0; i < suspensions.Length; i++)
            {
                if (!suspensions[i].IsCompleted && _options.CacheEntries != 0)
                {
                    LookAgain(_captures[i]);
                }
            }

            TimeSpan taken = 3 * Stopwatch.GetElapsedTime(start);
            pause = taken > LookInterval ? taken : LookInterval;
        }
    }

    // What goes wrong here goes wrong in the window, too, where there is an answer to it.
    private void LookAgain(DomainCapture capture)
    {
        try
        {
            _ = capture.Memory.LookAgain(_staging.Pages);
        }
        catch (HypervisorException e)
        {
            Log?.Invoke($"{capture.Name} could not be looked at while it suspended itself: {e.Message}");
        }
    }

    private async Task SuspendAsync(DomainCapture capture, CancellationTokenSource giveUp)
    {
        try
        {
            await capture.SuspendAsync(_settings.SuspendTimeout ?? _options.SuspendTimeout, giveUp.Token).ConfigureAwait(false);
        }
        catch
        {
            await giveUp.CancelAsync().ConfigureAwait(false);
            throw;
        }
    }

    // A guest that acknowledged a request that was given up suspends later. It is the record's business until it has.
    private void NoteThoseThatMaySuspend()
    {
        foreach (DomainCapture capture in _captures)
        {
            _ = capture.Domain.MaySuspend ? _maySuspend.Add(capture.Uuid) : _maySuspend.Remove(capture.Uuid);
        }
    }

    // Every domain is tried, whatever happens to another.
    private Exception? ResumeAll()
    {
        Exception? failure = null;
        foreach (DomainCapture capture in _captures)
        {
            if (!capture.Suspended)
            {
                continue;
            }

            try
            {
                capture.Resume();
            }
            catch (DomainNotFoundException)
            {
                capture.Suspended = false;
            }
            catch (HypervisorException e)
            {
                failure ??= e;
            }
        }

        return failure;
    }

    // Domains that a failed attempt could not resume.
    private Exception? ResumeLeft() => _captures.Exists(c => c.Suspended) ? ResumeAll() : null;
}
