using System.Diagnostics;

namespace XenTwoLevelCkpt.Hypervisor.Model;

/// <content>Execution of the guest, and pauses by the hypervisor.</content>
public sealed partial class ModelGuest
{
    private readonly Lock _threadGate = new();
    private Thread? _thread;
    private volatile bool _stopping;
    private int _pauseRequests;

    private bool CanRun => !_destroyed && !_paused && _shutdown is null;

    /// <summary>Runs the guest in the caller's thread.</summary>
    /// <param name="count">Steps to run.</param>
    /// <returns>The steps that ran: fewer where the guest is or gets paused, suspended, shut down or destroyed.</returns>
    public int Step(int count = 1)
    {
        for (int done = 0; done < count; done++)
        {
            lock (_gate)
            {
                if (!CanRun || !StepOnce())
                {
                    return done;
                }
            }
        }

        return count;
    }

    /// <summary>Runs the guest in a thread of its own until <see cref="Stop"/>.</summary>
    /// <param name="stepsPerSecond">The pace; 0 for as fast as it goes.</param>
    /// <exception cref="InvalidOperationException">The guest has a thread already.</exception>
    public void Start(int stepsPerSecond = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(stepsPerSecond);
        lock (_threadGate)
        {
            if (_thread is not null)
            {
                throw new InvalidOperationException($"Domain {Name} runs in the background already.");
            }

            _stopping = false;
            _thread = new Thread(() => Run(stepsPerSecond)) { IsBackground = true, Name = $"vcpu of {Name}" };
            _thread.Start();
        }
    }

    /// <summary>Stops the guest's thread, if it has one. No step runs after this returns.</summary>
    public void Stop()
    {
        lock (_threadGate)
        {
            _stopping = true;
            _thread?.Join();
            _thread = null;
        }
    }

    private bool StepOnce()
    {
        if (_suspendsWithNextStep)
        {
            _suspendsWithNextStep = false;
            SuspendItself();
            return false;
        }

        try
        {
            _workload?.Step(_vcpu);
        }
        catch (GuestPageFaultException)
        {
            _shutdown = ShutdownReason.Crash;
            return false;
        }

        _context.Steps++;
        return true;
    }

    private void Run(int stepsPerSecond)
    {
        long start = Stopwatch.GetTimestamp();
        long run = 0;
        while (!_stopping && !IsDestroyed)
        {
            bool ahead = stepsPerSecond != 0
                && run >= Stopwatch.GetElapsedTime(start).TotalSeconds * stepsPerSecond;
            if (ahead)
            {
                Thread.Sleep(1);
            }
            else if (Volatile.Read(ref _pauseRequests) != 0)
            {
                // The lock is not fair: without this the guest would take it again before a waiter wakes up.
                Thread.Yield();
            }
            else if (Step() == 0)
            {
                Thread.Sleep(1);
            }
            else
            {
                run++;
            }
        }
    }

    /// <summary>Stops the guest between two steps for as long as the scope lasts, as <c>domain_pause</c> does.</summary>
    private PauseScope PauseDomain()
    {
        Interlocked.Increment(ref _pauseRequests);
        _gate.Enter();
        return new PauseScope(this);
    }

    private readonly ref struct PauseScope(ModelGuest guest)
    {
        public void Dispose()
        {
            guest._gate.Exit();
            Interlocked.Decrement(ref guest._pauseRequests);
        }
    }
}
