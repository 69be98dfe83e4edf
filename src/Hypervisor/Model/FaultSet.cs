using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Hypervisor.Model;

/// <summary>The faults armed on one domain.</summary>
internal sealed class FaultSet
{
    private readonly Lock _gate = new();
    private readonly Dictionary<ModelFault, Armed> _armed = [];
    private readonly Dictionary<ModelFault, int> _fired = [];

    internal void Arm(ModelFault fault, bool persistent, PfnRun? pages)
    {
        lock (_gate)
        {
            _armed[fault] = new Armed(persistent, pages);
        }
    }

    internal void Disarm(ModelFault fault)
    {
        lock (_gate)
        {
            _armed.Remove(fault);
        }
    }

    internal int Fired(ModelFault fault)
    {
        lock (_gate)
        {
            return _fired.GetValueOrDefault(fault);
        }
    }

    /// <summary>True when the fault strikes now; one that is not persistent is then spent.</summary>
    internal bool Take(ModelFault fault) => Take(fault, default, out _);

    /// <summary>As <see cref="Take(ModelFault)"/>, for faults that strike pages: only where one of
    /// <paramref name="runs"/> touches the armed pages.</summary>
    internal bool Take(ModelFault fault, ReadOnlySpan<PfnRun> runs, out PfnRun? pages)
    {
        lock (_gate)
        {
            pages = null;
            if (!_armed.TryGetValue(fault, out Armed armed) || !Touches(armed.Pages, runs))
            {
                return false;
            }

            pages = armed.Pages;
            if (!armed.Persistent)
            {
                _armed.Remove(fault);
            }

            _fired[fault] = _fired.GetValueOrDefault(fault) + 1;
            return true;
        }
    }

    private static bool Touches(PfnRun? pages, ReadOnlySpan<PfnRun> runs)
    {
        if (pages is not { } target || runs.IsEmpty)
        {
            return true;
        }

        foreach (PfnRun run in runs)
        {
            if (run.First < target.End && target.First < run.End)
            {
                return true;
            }
        }

        return false;
    }

    private readonly record struct Armed(bool Persistent, PfnRun? Pages);
}
