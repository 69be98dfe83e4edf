using System.Diagnostics;

namespace XenTwoLevelCkpt.Hypervisor.Model;

/// <content>Suspension: the toolstack's side and the guest's side of the protocol.</content>
public sealed partial class ModelGuest
{
    /// <summary>How often the toolstack looks at the domain: the bound on how late a suspension is noticed.</summary>
    private static readonly TimeSpan PollInterval = TimeSpan.FromMilliseconds(1);

    private SuspendRequest? _request;
    private bool _suspendsWithNextStep;

    // From a request until the guest was resumed, or the request was taken back unacknowledged.
    private bool _asked;

    /// <summary>How often the guest has suspended itself.</summary>
    public int Suspensions { get; private set; }

    private bool _monitorStopped;

    /// <summary>True as long as the toolstack's process lives that restarts the guest when it reboots: as that of <c>xl</c>, it
    /// ends when it sees the guest suspended.</summary>
    public bool HasMonitor { get; private set; } = true;

    /// <summary>True while that process is stopped.</summary>
    public bool IsMonitorStopped => _monitorStopped;

    /// <summary>Suspends the guest as another program does, such as <c>xl save</c>.</summary>
    /// <exception cref="InvalidOperationException">It is shut down already.</exception>
    public void SuspendFromOutside()
    {
        using (PauseDomain())
        {
            ThrowIfDestroyed();
            if (_shutdown is { } reason)
            {
                throw new InvalidOperationException($"Domain {Name} is shut down already ({reason}).");
            }

            SuspendItself();
        }
    }

    internal async Task SuspendAsync(TimeSpan timeout, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(timeout, TimeSpan.Zero);
        cancellationToken.ThrowIfCancellationRequested();
        long start = Stopwatch.GetTimestamp();
        SuspendRequest request = RequestSuspend(start);
        try
        {
            while (!IsSuspendedFor(request))
            {
                TimeSpan left = timeout - Stopwatch.GetElapsedTime(start);
                if (left <= TimeSpan.Zero || cancellationToken.IsCancellationRequested)
                {
                    break;
                }

                await Task.Delay(left < PollInterval ? left : PollInterval, cancellationToken)
                    .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
        finally
        {
            Withdraw(request);
        }

        if (request.Completed)
        {
            return;
        }

        cancellationToken.ThrowIfCancellationRequested();
        throw request.Acknowledged
            ? new SuspendFailedException(
                Name, SuspendStage.Suspend, $"it acknowledged and did not suspend within {timeout}.")
            : new SuspendFailedException(
                Name, SuspendStage.Acknowledge, $"it did not acknowledge within {timeout}.");
    }

    internal void Resume()
    {
        using (PauseDomain())
        {
            ThrowIfDestroyed();
            if (_faults.Take(ModelFault.ResumeFailure))
            {
                throw new HypervisorException($"Domain {Name} could not be resumed (injected).");
            }

            ResumeIfSuspended();
        }
    }

    /// <summary>True where the guest acknowledged a request that was given up since, and has not suspended.</summary>
    internal bool MaySuspend => _suspendsWithNextStep;

    internal SuspendRemains UndoSuspend()
    {
        using (PauseDomain())
        {
            ThrowIfDestroyed();
            if (!_asked)
            {
                return SuspendRemains.None;
            }

            if (_shutdown == ShutdownReason.Suspend)
            {
                if (_faults.Take(ModelFault.ResumeFailure))
                {
                    throw new HypervisorException($"Domain {Name} could not be resumed (injected).");
                }

                ResumeIfSuspended();
                return SuspendRemains.Resumed;
            }

            if (_request is { Acknowledged: false } request)
            {
                request.Ignored = true;
                _asked = false;
                return SuspendRemains.None;
            }

            return _shutdown is null && (_request is not null || _suspendsWithNextStep)
                ? SuspendRemains.MayFollow
                : SuspendRemains.None;
        }
    }

    internal DomainRegisters CaptureRegisters()
    {
        using (PauseDomain())
        {
            ThrowIfDestroyed();
            StrikeDestroyed();
            if (_shutdown != ShutdownReason.Suspend)
            {
                throw new InvalidOperationException($"Domain {Name} is not suspended.");
            }

            return _context.Capture(Kind);
        }
    }

    private SuspendRequest RequestSuspend(long now)
    {
        using (PauseDomain())
        {
            ThrowIfDestroyed();
            StrikeDestroyed();
            if (_shutdown is { } reason)
            {
                throw new SuspendFailedException(
                    Name, SuspendStage.Request, $"it is shut down already ({reason}).");
            }

            if (IsBeingSaved)
            {
                throw new SuspendFailedException(
                    Name, SuspendStage.Request, "it is being saved or migrated by another program just now.");
            }

            if (_request is not null)
            {
                throw new SuspendFailedException(
                    Name, SuspendStage.Request, "another request to suspend is under way.");
            }

            _asked = true;
            return _request = new SuspendRequest(now)
            {
                Ignored = _faults.Take(ModelFault.SuspendNotAcknowledged) || _ignoresSuspend(),
                NeverDone = _faults.Take(ModelFault.SuspendNotCompleted),
                DuringWithdrawal = _faults.Take(ModelFault.SuspendDuringWithdrawal),
                AfterWithdrawal = _faults.Take(ModelFault.SuspendAfterWithdrawal),
                Crashes = _faults.Take(ModelFault.CrashDuringSuspend),
            };
        }
    }

    /// <summary>Lets the guest react to the request, then looks at the domain as the toolstack does.</summary>
    private bool IsSuspendedFor(SuspendRequest request)
    {
        using (PauseDomain())
        {
            ThrowIfDestroyed();
            if (CanRun)
            {
                React(request);
            }

            if (_shutdown is { } reason and not ShutdownReason.Suspend)
            {
                throw new SuspendFailedException(
                    Name, SuspendStage.Suspend, $"it shut down instead ({reason}).");
            }

            return request.Completed = _shutdown == ShutdownReason.Suspend;
        }
    }

    private void React(SuspendRequest request)
    {
        request.Acknowledged |= !request.Ignored;
        if (request.Crashes)
        {
            _shutdown = ShutdownReason.Crash;
        }
        else if (request is { Acknowledged: true, NeverDone: false, DuringWithdrawal: false, AfterWithdrawal: false }
            && Stopwatch.GetElapsedTime(request.Start) >= _suspendLatency)
        {
            SuspendItself();
        }
    }

    /// <summary>Ends the request. Where it was given up and the guest has suspended all the same, resumes it.</summary>
    private void Withdraw(SuspendRequest request)
    {
        using (PauseDomain())
        {
            _request = null;
            if (request.Completed || _destroyed)
            {
                return;
            }

            if (request is { DuringWithdrawal: true, Acknowledged: true } && CanRun)
            {
                SuspendItself();
            }

            _suspendsWithNextStep = request is { AfterWithdrawal: true, Acknowledged: true };
            _asked = request.Acknowledged;
            ResumeIfSuspended();
        }
    }

    internal void SetMonitorStopped(bool stopped)
    {
        using (PauseDomain())
        {
            _monitorStopped = stopped;

            // It looks at what it was told meanwhile.
            HasMonitor &= stopped || _shutdown is null;
        }
    }

    private void SuspendItself()
    {
        HasMonitor &= _monitorStopped;
        _shutdown = ShutdownReason.Suspend;
        Suspensions++;
    }

    private void ResumeIfSuspended()
    {
        if (_shutdown == ShutdownReason.Suspend)
        {
            _shutdown = null;
            _asked = false;
        }
    }

    private sealed class SuspendRequest(long start)
    {
        internal long Start { get; } = start;

        internal bool Acknowledged { get; set; }

        internal bool Completed { get; set; }

        internal bool Ignored { get; set; }

        internal bool NeverDone { get; init; }

        internal bool DuringWithdrawal { get; init; }

        internal bool AfterWithdrawal { get; init; }

        internal bool Crashes { get; init; }
    }
}
