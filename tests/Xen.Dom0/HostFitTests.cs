using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Hypervisor.Conformance;

namespace XenTwoLevelCkpt.Dom0Tests;

/// <summary>What Xen says of a guest that runs is no obstacle to its return; what this host lacks is named.</summary>
public sealed partial class HostFitTests
{
    [Fact]
    public async Task A_pvh_guest_fits_the_host_that_it_runs_on() => await FitsAsync(XenTarget.PvhAsync());

    [Fact]
    public async Task A_pv_guest_fits_the_host_that_it_runs_on() => await FitsAsync(XenTarget.PvAsync());

    [Fact]
    public async Task What_the_host_lacks_is_named()
    {
        await using IConformanceTarget target = await XenTarget.PvhAsync();
        RestoreRequest request = RequestOf(target);
        string toolstack = request.Configuration.Toolstack;

        // A TiB, which the lab's hosts do not have.
        RestoreRequest large = With(request, Memory().Replace(toolstack, "\"target_memkb\": 1073741824"));
        Assert.Contains("The domains need 1048576 MiB", Assert.Single(target.Hypervisor.FindObstacles([large], [target.GuestUuid], TestContext.Current.CancellationToken)), StringComparison.Ordinal);

        RestoreRequest elsewhere = With(request, toolstack.TrimEnd()[..^1] + ", \"nics\": [{\"devid\": 9, \"bridge\": \"nowhere0\"}]}");
        Assert.Contains("nowhere0, which this host does not have", Assert.Single(target.Hypervisor.FindObstacles([elsewhere], [target.GuestUuid], TestContext.Current.CancellationToken)), StringComparison.Ordinal);

        byte[] leaves = request.Configuration.CpuidPolicy.ToArray();
        Span<uint> words = MemoryMarshal.Cast<byte, uint>(leaves.AsSpan());
        for (int i = 0; i < words.Length; i += 6)
        {
            // CPUID 7/0 ebx: all features there can be.
            words[i + 3] = (words[i], words[i + 1]) == (7, 0) ? uint.MaxValue : words[i + 3];
        }

        RestoreRequest newer = request with { Configuration = request.Configuration with { CpuidPolicy = leaves } };
        Assert.Contains("CPUID 7/0 ebx", Assert.Single(target.Hypervisor.FindObstacles([newer], [target.GuestUuid], TestContext.Current.CancellationToken)), StringComparison.Ordinal);
    }

    private static async Task FitsAsync(Task<IConformanceTarget> made)
    {
        await using IConformanceTarget target = await made;
        Assert.Equal("", string.Join(" ", target.Hypervisor.FindObstacles([RequestOf(target)], [target.GuestUuid], TestContext.Current.CancellationToken)));
    }

    private static RestoreRequest With(RestoreRequest request, string toolstack) =>
        request with { Configuration = request.Configuration with { Toolstack = toolstack } };

    private static RestoreRequest RequestOf(IConformanceTarget target)
    {
        using IDomain domain = target.Hypervisor.OpenDomain(target.GuestUuid);
        DomainConfiguration configuration = domain.GetConfiguration();
        return new RestoreRequest
        {
            Uuid = target.GuestUuid,
            Name = configuration.Name,
            Configuration = configuration,
            Registers = new DomainRegisters(default, new Dictionary<uint, ulong>(), default),
            PfnCount = 1,
        };
    }

    [GeneratedRegex("\"target_memkb\": *[0-9]+")]
    private static partial Regex Memory();
}
