using XenTwoLevelCkpt.Checkpointing.Restore;
using XenTwoLevelCkpt.Hypervisor;

namespace XenTwoLevelCkpt.Daemon;

/// <summary>Domains of several nodes that are back and do not run yet.</summary>
internal sealed class RestoredNodes : IDisposable
{
    internal List<PausedDomains> All { get; } = [];

    internal IEnumerable<IDomain> Domains => All.SelectMany(d => d.Domains);

    internal void Add(PausedDomains domains) => All.Add(domains);

    internal void Keep() => All.ForEach(d => d.Keep());

    /// <summary>Removes those that neither run nor are kept.</summary>
    public void Dispose() => All.ForEach(d => d.Dispose());
}
