using System.Globalization;
using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Xen;
using XenTwoLevelCkpt.XlStream;

namespace XenTwoLevelCkpt.Hypervisor.Xen;

/// <summary>Whether a host has what domains need that come back on it, or come to it from another one. Looked at before anything is
/// changed, as <c>xl restore</c> finds it out when the others' domains are gone.</summary>
/// <param name="Version">The hypervisor's version.</param>
/// <param name="FreeKiB">Memory that is free, or will be: that of domains that go, and what Dom0 gives up where libxl asks it.</param>
/// <param name="PolicyFor">The most that the CPUs of guests of a kind can do.</param>
/// <param name="HasInterface">True for a network interface of Dom0.</param>
internal sealed record HostFit(string Version, long FreeKiB, Func<GuestKind, CpuPolicy> PolicyFor, Func<string, bool> HasInterface)
{
    /// <summary>What is in the way of domains, as sentences; empty where nothing is seen.</summary>
    /// <param name="wanted">The domains.</param>
    internal IReadOnlyList<string> Obstacles(IReadOnlyList<RestoreRequest> wanted)
    {
        var obstacles = new List<string>();
        long needed = 0;
        foreach (RestoreRequest request in wanted)
        {
            DomainConfiguration domain = request.Configuration;
            if (Release(domain.HypervisorVersion) != Release(Version))
            {
                obstacles.Add(
                    $"Domain {request.Name} was saved on {domain.HypervisorVersion}, and this host runs {Version}: its virtual hardware "
                    + "could differ. Restore it on the same release.");
                continue;
            }

            XlConfigInfo made = Describe(request);
            needed += made.MemoryKiB;
            if (CpuFit.Problem(PolicyOf(domain), PolicyFor(domain.Kind)) is { } cpu)
            {
                obstacles.Add($"Domain {request.Name} cannot go on here: {cpu}. Restore it on a host with such a processor.");
            }

            // Another domain's bridges are not Dom0's to look at.
            foreach (string bridge in made.Nics.Where(n => n is { BackendDomid: 0, BackendDomname: null }).Select(n => n.Bridge).OfType<string>().Distinct())
            {
                if (!HasInterface(bridge))
                {
                    obstacles.Add($"Domain {request.Name} has a network interface on {bridge}, which this host does not have. Make the bridge first.");
                }
            }
        }

        if (needed > FreeKiB)
        {
            obstacles.Add(string.Create(
                CultureInfo.InvariantCulture,
                $"The domains need {ToMiB(needed)} MiB, and this host has {ToMiB(FreeKiB)} MiB for them ('xl info', free_memory). End domains, or choose another host."));
        }

        return obstacles;
    }

    /// <summary>"4.17.7" is release "4.17".</summary>
    internal static string Release(string version) => string.Join('.', version.Split('.').Take(2));

    private static XlConfigInfo Describe(RestoreRequest request)
    {
        try
        {
            return XlConfig.Describe(request.Configuration.Toolstack);
        }
        catch (ArgumentException e)
        {
            throw new HypervisorException($"Domain {request.Name} cannot be restored: {e.Message}", e);
        }
    }

    private static CpuPolicy PolicyOf(DomainConfiguration domain) => new(
        MemoryMarshal.Cast<byte, CpuidLeaf>(domain.CpuidPolicy.Span).ToArray(), MemoryMarshal.Cast<byte, MsrEntry>(domain.MsrPolicy.Span).ToArray());

    private static long ToMiB(long kib) => kib / 1024;
}
