using System.Runtime.InteropServices;
using XenTwoLevelCkpt.Hypervisor.Xen;
using XenTwoLevelCkpt.NativeInterop.Xen;
using Xunit;

namespace XenTwoLevelCkpt.Hypervisor.Tests;

/// <summary>Whether a host has what domains need.</summary>
public sealed class HostFitTests
{
    private const uint None = uint.MaxValue;
    private const uint Apic = 1u << 9;
    private const uint Htt = 1u << 28;
    private const uint Avx2 = 1u << 5;

    private static readonly uint[][] Host =
    [
        [0, None, 0x16, 0x756E6547, 0x6C65746E, 0x49656E69],
        [1, None, 0x806EA, 0, 0x7FFAFBBF, 0xBFEBFBFF & ~(Apic | Htt)],
        [7, 0, 0, 0x029C67AF, 0, 0x9C000000],
        [0xD, 0, 7, 0, 0, 0],
        [0x80000001, None, 0, 0, 0x121, 0x2C100800],
        [0x80000008, None, 0x3027, 0, 0, 0],
    ];

    [Fact]
    public void A_guest_of_the_same_host_fits() => Assert.Null(CpuFit.Problem(Policy(Host), Policy(Host)));

    [Fact]
    public void A_guest_with_fewer_features_fits() =>
        Assert.Null(CpuFit.Problem(Policy(With(2, 3, 0x029C67AF & ~Avx2)), Policy(Host)));

    [Fact]
    public void What_the_guest_turns_on_and_how_its_processors_are_counted_is_nothing_of_the_host() =>
        Assert.Null(CpuFit.Problem(Policy(With(1, 5, 0xBFEBFBFF)), Policy(Host)));

    [Fact]
    public void What_another_leaf_says_once_more_is_not_missing() =>
        Assert.Null(CpuFit.Problem(Policy(With(4, 5, 0x2C100800 | 0x0183F3FF)), Policy(Host)));

    [Theory]
    [InlineData(1, 4, 0xFFFAFBBF, "CPUID 1 ecx bits 80000000")]
    [InlineData(1, 5, 0xFFEBFBFF & ~(Apic | Htt), "CPUID 1 edx bits 40000000")]
    [InlineData(2, 3, 0x029C67AF | (1u << 16), "CPUID 7/0 ebx bits 10000")]
    [InlineData(2, 4, 0x8, "CPUID 7/0 ecx bits 8")]
    [InlineData(2, 5, 0x9C000010, "CPUID 7/0 edx bits 10")]
    [InlineData(3, 2, 0xE7, "CPUID d/0 eax bits e0")]
    [InlineData(4, 4, 0x161, "CPUID 80000001 ecx bits 40")]
    public void A_feature_that_the_host_lacks_is_named(int leaf, int register, uint value, string named) =>
        Assert.Contains(named, CpuFit.Problem(Policy(With(leaf, register, value)), Policy(Host)), StringComparison.Ordinal);

    [Fact]
    public void A_leaf_that_the_host_lacks_has_no_features() =>
        Assert.Contains("CPUID 7/1 eax bits 10", CpuFit.Problem(Policy([.. Host, [7, 1, 0x10, 0, 0, 0]]), Policy(Host)), StringComparison.Ordinal);

    [Fact]
    public void Another_vendor_is_named()
    {
        uint[] amd = [0, None, 0x10, 0x68747541, 0x444D4163, 0x69746E65];
        string? problem = CpuFit.Problem(Policy([amd, .. Host[1..]]), Policy(Host));
        Assert.Equal("it has a processor of AuthenticAMD, and this host one of GenuineIntel", problem);
    }

    [Fact]
    public void Wider_physical_addresses_are_named() =>
        Assert.Contains("46 bits, and this host of 39", CpuFit.Problem(Policy(With(5, 2, 0x302E)), Policy(Host)), StringComparison.Ordinal);

    [Fact]
    public void A_platform_register_that_the_host_lacks_is_named() =>
        Assert.Contains("MSR ce bits 80000000", CpuFit.Problem(Policy(Host, 0x80000000), Policy(Host)), StringComparison.Ordinal);

    [Fact]
    public void A_host_that_has_all_has_no_obstacles() => Assert.Empty(Fit(freeKiB: 2 * 65536).Obstacles([Request("a"), Request("b")]));

    [Fact]
    public void Memory_is_needed_for_all_together()
    {
        string obstacle = Assert.Single(Fit(freeKiB: (2 * 65536) - 1).Obstacles([Request("a"), Request("b")]));
        Assert.StartsWith("The domains need 128 MiB, and this host has 127 MiB", obstacle, StringComparison.Ordinal);
    }

    [Fact]
    public void A_bridge_that_is_not_there_is_named()
    {
        string obstacle = Assert.Single(Fit().Obstacles([Request("a", bridge: "xenbr7")]));
        Assert.StartsWith("Domain a has a network interface on xenbr7", obstacle, StringComparison.Ordinal);
    }

    [Fact]
    public void A_bridge_of_a_driver_domain_is_not_looked_for() => Assert.Empty(Fit().Obstacles([Request("a", bridge: "xenbr7", backend: 3)]));

    [Fact]
    public void Another_release_is_named()
    {
        string obstacle = Assert.Single(Fit().Obstacles([Request("a", version: "4.20.0")]));
        Assert.StartsWith("Domain a was saved on 4.20.0, and this host runs 4.17.7", obstacle, StringComparison.Ordinal);
    }

    [Fact]
    public void A_processor_that_lacks_something_is_named()
    {
        string obstacle = Assert.Single(Fit().Obstacles([Request("a", policy: [.. Host, [7, 1, 0x10, 0, 0, 0]])]));
        Assert.StartsWith("Domain a cannot go on here: it uses features", obstacle, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("", "console=com1", 900_000)]
    [InlineData("", "dom0_mem=1G,max:1G console=com1", 0)]
    [InlineData("#autoballoon=\"off\"\n", "", 900_000)]
    [InlineData("autoballoon=\"off\"\n", "", 0)]
    [InlineData("autoballoon = 1 # for now\n", "dom0_mem=1G", 900_000)]
    [InlineData("autoballoon=1\nautoballoon=0\n", "", 0)]
    public void Dom0_gives_up_what_xl_takes_from_it(string file, string commandLine, long given) =>
        Assert.Equal(given, XlSettings.Of(file, commandLine).GivenUpByDom0(131_072 + 900_000));

    private static HostFit Fit(long freeKiB = 1 << 20) => new("4.17.7", freeKiB, _ => Policy(Host), name => name == "xenbr0");

    private static uint[][] With(int leaf, int register, uint value)
    {
        uint[][] leaves = [.. Host.Select(l => l.ToArray())];
        leaves[leaf][register] = value;
        return leaves;
    }

    private static CpuPolicy Policy(uint[][] leaves, ulong platform = 0) => new(
        MemoryMarshal.Cast<uint, CpuidLeaf>(leaves.SelectMany(l => l).ToArray()).ToArray(),
        MemoryMarshal.Cast<ulong, MsrEntry>(new ulong[] { 0xCE, platform }).ToArray());

    private static RestoreRequest Request(
        string name, string bridge = "xenbr0", int backend = 0, string version = "4.17.5", uint[][]? policy = null) => new()
        {
            Uuid = Guid.NewGuid(),
            Name = name,
            PfnCount = 1 << 20,
            Registers = new DomainRegisters(default, new Dictionary<uint, ulong>(), default),
            Configuration = new DomainConfiguration(
            name, GuestKind.Pvh,
            $$"""
            {"c_info": {"name": "{{name}}", "type": "pvh"}, "b_info": {"max_memkb": 131072, "target_memkb": 65536},
             "nics": [{"devid": 0, "bridge": "{{bridge}}", "backend_domid": {{backend}}}]}
            """,
            MemoryMarshal.AsBytes((policy ?? Host).SelectMany(l => l).ToArray().AsSpan()).ToArray(), ReadOnlyMemory<byte>.Empty, version),
        };
}
