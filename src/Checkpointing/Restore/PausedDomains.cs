using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Store;

namespace XenTwoLevelCkpt.Checkpointing.Restore;

/// <summary>Domains that are back and do not run yet.</summary>
public sealed class PausedDomains : IDisposable
{
    private readonly IDiskRestorer? _disks;
    private readonly List<string> _failures = [];
    private bool _settled;

    internal PausedDomains(IDiskRestorer? disks) => _disks = disks;

    /// <summary>What could not be undone when this object was disposed of, as sentences.</summary>
    public IReadOnlyList<string> Failures => _failures;

    /// <summary>The domains. They belong to this object until <see cref="Run"/>.</summary>
    public IReadOnlyList<IDomain> Domains => Restored;

    internal List<IDomain> Restored { get; } = [];

    internal List<ManifestDomain> Put { get; } = [];

    /// <summary>Lets all of them run.</summary>
    /// <returns>The domains, running. The caller disposes them.</returns>
    /// <exception cref="HypervisorException">One cannot run; disposing this object removes all of them.</exception>
    public IReadOnlyList<IDomain> Run()
    {
        Restored.ForEach(d => d.Unpause());
        _settled = true;
        return Restored;
    }

    /// <summary>Leaves them there whatever happens, paused: somebody else knows of them, and lets them run.</summary>
    public void Keep() => _settled = true;

    /// <summary>Removes the domains, and puts their disks back to what they were, unless they run or are
    /// kept.</summary>
    public void Dispose()
    {
        if (_settled)
        {
            return;
        }

        _settled = true;
        for (int i = Put.Count - 1; i >= 0; i--)
        {
            try
            {
                if (i < Restored.Count)
                {
                    Remove(Restored[i]);
                }

                _disks?.Undo(Put[i]);
            }
            catch (HypervisorException e)
            {
                // The others are removed all the same. Disks of a domain that is still there stay as they are.
                _failures.Add(e.Message);
            }
        }
    }

    private static void Remove(IDomain domain)
    {
        using (domain)
        {
            try
            {
                domain.Destroy();
            }
            catch (DomainNotFoundException)
            {
                // Gone by itself.
            }
        }
    }
}
