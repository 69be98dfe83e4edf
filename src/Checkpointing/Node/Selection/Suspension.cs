using System.Diagnostics;
using System.Runtime.ExceptionServices;
using XenTwoLevelCkpt.Hypervisor;

namespace XenTwoLevelCkpt.Checkpointing.Node.Selection;

/// <summary>Suspends the domains of a checkpoint: carries out what a <see cref="SuspendSchedule"/> decides.</summary>
/// <param name="roster">Has the domains.</param>
/// <param name="options">The operator's settings.</param>
/// <param name="lookAgain">Looks at a guest that is about to suspend itself, and writes on meanwhile: all of that is in the
/// window, and each page of it would have to be mapped there.</param>
internal sealed class Suspension(DomainRoster roster, NodeOptions options, Action<DomainCapture> lookAgain)
{
    /// <summary>Between two looks at a domain that is about to suspend itself. A guest takes some 10 ms at least.</summary>
    private static readonly TimeSpan LookInterval = TimeSpan.FromMilliseconds(5);

    private readonly DomainCapture[] _captures = [.. roster.Present];
    private readonly Task?[] _requests = new Task?[roster.Present.Count];
    private readonly List<(DomainCapture Capture, HypervisorException Cause)> _failed = [];
    private readonly long _origin = Stopwatch.GetTimestamp();
    private TimeSpan _pause = LookInterval;

    /// <summary>Domains that did not suspend, and may be left out.</summary>
    internal IReadOnlyList<(DomainCapture Capture, HypervisorException Cause)> Failed => _failed;

    private TimeSpan Now => Stopwatch.GetElapsedTime(_origin);

    /// <summary>Suspends them. The caller's thread waits, and goes on with the window: handing that to another one would cost
    /// the guests the time of a switch.</summary>
    /// <param name="cancellationToken">Gives it up.</param>
    /// <returns>Since when guests stand still (<see cref="SuspendSchedule.StandstillSince"/>).</returns>
    /// <exception cref="HypervisorException">One did not suspend, and must not be left out. Some may be suspended.
    /// </exception>
    /// <exception cref="OperationCanceledException">It was given up. Some may be suspended.</exception>
    internal long Run(CancellationToken cancellationToken)
    {
        var schedule = new SuspendSchedule([.. _captures.Select(c => c.History.Expected)], options.WaitLimit);
        using var giveUp = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        try
        {
            while (!Advance(schedule, giveUp.Token))
            {
                Wait();
                Settle(schedule, cancellationToken);
            }
        }
        catch
        {
            giveUp.Cancel();
            _ = ((IAsyncResult)Task.WhenAll(_requests.OfType<Task>())).AsyncWaitHandle.WaitOne();
            throw;
        }

        foreach (DomainCapture capture in _captures.Where(c => c.Suspended))
        {
            capture.History.Answered(capture.Phases.Suspend);
        }

        return _origin + (long)(schedule.StandstillSince.TotalSeconds * Stopwatch.Frequency);
    }

    private bool Advance(SuspendSchedule schedule, CancellationToken giveUp)
    {
        SuspendStep step = schedule.Next(Now);
        foreach (int guest in step.Resume)
        {
            _captures[guest].Resume();
        }

        foreach (int guest in step.Ask)
        {
            _requests[guest] = _captures[guest].SuspendAsync(roster.SuspendTimeoutOf(_captures[guest]), giveUp);
        }

        return step.IsComplete;
    }

    // Until a guest has answered, or for one round of looks: then the schedule is asked again. The looks have a quarter of the time at most, since a guest stands still for each.
    private void Wait()
    {
        Task[] open = [.. _requests.OfType<Task>()];
        if (Task.WaitAny(open, _pause) >= 0)
        {
            return;
        }

        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < _captures.Length; i++)
        {
            if (_requests[i] is { IsCompleted: false })
            {
                lookAgain(_captures[i]);
            }
        }

        TimeSpan taken = 3 * Stopwatch.GetElapsedTime(start);
        _pause = taken > LookInterval ? taken : LookInterval;
    }

    private void Settle(SuspendSchedule schedule, CancellationToken cancellationToken)
    {
        for (int i = 0; i < _captures.Length; i++)
        {
            if (_requests[i] is not { IsCompleted: true } request)
            {
                continue;
            }

            _requests[i] = null;
            switch (request.Exception?.InnerException)
            {
                case null when request.IsCanceled:
                    throw new OperationCanceledException(cancellationToken);
                case null:
                    schedule.Down(i, Now);
                    break;
                case HypervisorException e when e is DomainNotFoundException || MayBeLeftOut(_captures[i]):
                    schedule.Fail(i);
                    _failed.Add((_captures[i], e));
                    break;
                case { } e:
                    ExceptionDispatchInfo.Throw(e);
                    break;
            }
        }
    }

    private bool MayBeLeftOut(DomainCapture capture) => roster.RuleOf(capture) == UnableRule.Skip;
}
