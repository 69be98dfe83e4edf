using System.Diagnostics;
using XenTwoLevelCkpt.Checkpointing.Memory;
using XenTwoLevelCkpt.Checkpointing.Node.Selection;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.NativeInterop.Processes;
using XenTwoLevelCkpt.NativeInterop.Threads;

namespace XenTwoLevelCkpt.Checkpointing.Node;

/// <content>The suspend window: from the requests to suspend until all domains run again.</content>
public sealed partial class NodeCheckpointer
{
    private WindowTimes _times = new(0);
    private bool _rehearsed;

    // Those of the toolstack's processes that stay stopped, with domains that could not be resumed.
    private IReadOnlyList<ProcessIdentity> _stopped = [];

    private (PhaseTimes Phases, TimeSpan Pause, DateTimeOffset Captured) StopAndCollect(
        IProgress<CheckpointProgress>? progress, CancellationToken cancellationToken)
    {
        progress?.Report(new CheckpointProgress(CheckpointStage.Suspending, 0));
        IReadOnlyList<ProcessIdentity> monitors = _hypervisor.FindMonitors();
        _intent.SetSuspended(_roster.Present.Select(c => c.Uuid), monitors);
        DomainCapture[] taking = PrepareWindow([.. _roster.Present]);
        var suspension = new Suspension(_roster, _options, LookAgain);
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
            _hypervisor.StopMonitors(monitors);
            asked = DateTimeOffset.UtcNow;
            start = suspension.Run(cancellationToken);
            if (suspension.Failed.Count > 0)
            {
                taking = PrepareWindow([.. _roster.Present.Where(c => c.Suspended)]);
            }

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
            if (resumeFailure is null)
            {
                _hypervisor.ContinueMonitors(monitors);
            }

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
            _stopped = monitors;
            throw new HypervisorException($"A domain could not be resumed: {resumeFailure.Message}", resumeFailure);
        }

        _intent.SetSuspended(_maySuspend);
        for (int i = 0; i < taking.Length; i++)
        {
            taking[i].SetPhases(_times.Memory[i], _times.Registers[i], _times.Disks[i], _times.Channels[i]);
        }

        LeaveOutThoseNotSaved(suspension, taking, failures);

        // Asked only now, when the guests run, whether a log was lost before its last reading.
        Each(c => Copy(c, m => m.Confirm()));
        return (_times.Phases(suspended, resumed - collected), resumed, asked + suspended);
    }

    // When a process takes its first checkpoint, what runs in the window has never run: it would be bound and compiled while
    // the guests stand still. So it runs once before, with the guests running. What it finds goes back to where it was.
    private void Rehearse()
    {
        DomainCapture[] captures = [.. _roster.Present.Where(c => c.Memory.Cache is not null)];
        if (_rehearsed || captures.Length == 0 || _options.CacheEntries == 0)
        {
            return;
        }

        _rehearsed = true;
        _staging.Clear();
        Each(capture => Copy(capture, m => m.LookLast()), captures.Contains);

        // What was collected of one that has been left out would come back from nowhere.
        captures = [.. captures.Where(_roster.Present.Contains)];

        _crew.Prepare(item => _ = captures[item].CollectMemory(_staging, compareTypes: false), captures.Length, waits: false);
        IReadOnlyList<Exception?> failures = _crew.Run();
        Rollback();
        for (int i = 0; i < captures.Length; i++)
        {
            // Too many dirty pages are the window's own affair.
            if (failures[i] is { } failure and not StagingFullException)
            {
                int at = i;
                Each(c => throw Known(c, failure), c => c == captures[at]);
            }
        }
    }

    // A domain's items of work are as many as there are domains apart; its memory is the first. Where more pages are left than
    // fit, the attempt is made again with all.
    private void LeaveOutThoseNotSaved(
        Suspension suspension, DomainCapture[] taking, IReadOnlyList<Exception?> failures)
    {
        for (int i = 0; i < taking.Length; i++)
        {
            if (failures[i] is { } failure && taking[i].Memory.IsIncomplete)
            {
                Break(taking[i], failure);
            }
        }

        if (failures.FirstOrDefault(f => f is not null && (f is not HypervisorException || ConcernsAll(f))) is { } whole)
        {
            throw Known(taking[failures.ToList().IndexOf(whole) % taking.Length], whole);
        }

        foreach ((DomainCapture capture, HypervisorException cause) in suspension.Failed)
        {
            _roster.LeaveOut(capture, cause);
        }

        for (int i = 0; i < failures.Count; i++)
        {
            if (failures[i] is HypervisorException failure && _roster.Present.Contains(taking[i % taking.Length]))
            {
                _roster.LeaveOut(taking[i % taking.Length], failure);
            }
        }
    }

    private static Exception Known(DomainCapture capture, Exception failure) => failure switch
    {
        HypervisorException or IOException => failure,
        _ => new HypervisorException($"Domain {capture.Name} could not be captured: {failure.Message}", failure),
    };

    private DomainCapture[] PrepareWindow(DomainCapture[] taking)
    {
        int count = taking.Length;
        _staging.Clear();
        WindowTimes times = _times = new WindowTimes(count);

        // Memory first: it takes longest.
        _crew.Prepare(
            item =>
            {
                if (item < count)
                {
                    Fault?.Invoke(NodeStep.CollectingMemory);
                    times.Memory[item] = taking[item].CollectMemory(
                        _staging, _compareInWindow || _options.CacheEntries == 0);
                }
                else
                {
                    Fault?.Invoke(NodeStep.CollectingState);
                    (times.Registers[item - count], times.Disks[item - count], times.Channels[item - count]) =
                        taking[item - count].CollectState(_channels);
                }
            },
            2 * count,
            waits: Array.Exists(taking, c => c.Disks.Count > 0));
        return taking;
    }

    // What goes wrong here goes wrong in the window, too, where there is an answer to it.
    private void LookAgain(DomainCapture capture)
    {
        if (_options.CacheEntries == 0)
        {
            return;
        }

        try
        {
            _ = capture.Memory.LookAgain(_staging.Pages);
        }
        catch (HypervisorException e)
        {
            Log?.Invoke($"{capture.Name} could not be looked at while it suspended itself: {e.Message}");
        }
    }

    // A guest that acknowledged a request that was given up suspends later. It is the record's business until it has.
    private void NoteThoseThatMaySuspend()
    {
        foreach (DomainCapture capture in _roster.All)
        {
            _ = capture.Domain.MaySuspend ? _maySuspend.Add(capture.Uuid) : _maySuspend.Remove(capture.Uuid);
        }
    }

    // Every domain is tried, whatever happens to another.
    private Exception? ResumeAll()
    {
        Exception? failure = null;
        foreach (DomainCapture capture in _roster.All)
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
    private Exception? ResumeLeft()
    {
        Exception? failure = _roster.All.Any(c => c.Suspended) ? ResumeAll() : null;
        if (failure is null)
        {
            _hypervisor.ContinueMonitors(_stopped);
            _stopped = [];
        }

        return failure;
    }
}
