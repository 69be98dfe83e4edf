using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;
using Xunit;

namespace XenTwoLevelCkpt.NativeInterop.Tests.Proof;

/// <summary>
/// Every struct, constant and function that the assembly binds agrees with the C headers. XTL_HEADERS names a
/// directory with Xen's headers of another release to prove that one instead.
/// </summary>
public class LayoutProofTests
{
    private static readonly BoundSurface Surface = BoundSurface.OfNativeInterop();

    [Fact]
    public void Nothing_is_bound_without_a_C_counterpart_to_prove_it() => Assert.Empty(Surface.Unlisted);

    [Fact]
    public void Reflection_finds_what_is_bound()
    {
        // Guards against a proof that proves nothing.
        Assert.Contains(Surface.Structs, t => t.Name == "XcDomainInfo");
        Assert.Contains(Surface.Constants, c => c.Field.Name == "XEN_DOMCTL_SHADOW_OP_CLEAN");
        Assert.Contains(Surface.Functions, f => f.Name == "xc_logdirty_control");
        Assert.Contains(Surface.Functions, f => f.Name == "LZ4_compressBound");
    }

    [Fact]
    public void Structs_and_constants_agree_with_the_headers()
    {
        string errors = CCompiler.Check(CProof.Layouts(Surface));
        Assert.True(errors.Length == 0, errors);
    }

    [Fact]
    public void Functions_agree_with_the_headers()
    {
        string prototypes = CCompiler.Prototypes(CProof.Includes(Surface));
        string errors = CCompiler.Check(CProof.Functions(Surface, prototypes));
        Assert.True(errors.Length == 0, errors);
    }

    [Fact]
    public void Another_release_is_proved_by_its_own_headers_alone()
    {
        Assert.SkipWhen(CCompiler.HeaderRoot is null, "XTL_HEADERS is not set.");
        string[] mixed = [.. CCompiler.Includes(CProof.Includes(Surface))
            .Where(f => f.StartsWith("/usr/include/xen", StringComparison.Ordinal))];
        Assert.Empty(mixed);
    }

    [Theory]
    [InlineData(typeof(MovedField), "MovedField.domain: offset")]
    [InlineData(typeof(MovedField), "MovedField: size")]
    [InlineData(typeof(WrongSign), "WrongSign.fd: sign")]
    [InlineData(typeof(WrongSize), "WrongSize.revents: size")]
    [InlineData(typeof(WrongValue), "WrongValue.XEN_DOMCTL_SHADOW_OP_CLEAN: value")]
    public void A_wrong_binding_is_named(Type type, string message) =>
        Assert.Contains(message, CCompiler.Check(CProof.Layouts(new BoundSurface([type]))), StringComparison.Ordinal);

    [Theory]
    [InlineData("xc_domain_pause: C has 2 parameters, not 1")]
    [InlineData("xc_domain_unpause: parameter domid: size")]
    [InlineData("xc_domain_destroy: return value: size")]
    [InlineData("xc_domain_shutdown: parameter reason: sign")]
    [InlineData("xc_domain_nr_gpfns: parameter gpfns: size of what it points to")]
    [InlineData("xc_version: parameter cmd: pointer or not")]
    [InlineData("xc_no_such_function: declared in no header")]
    public void A_wrong_function_is_named(string message)
    {
        var surface = new BoundSurface([typeof(WrongFunctions)]);
        string prototypes = CCompiler.Prototypes(CProof.Includes(surface));
        Assert.Contains(
            message, CCompiler.Check(CProof.Functions(surface, prototypes)), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(typeof(UnlistedStruct), "UnlistedStruct")]
    [InlineData(typeof(UnlistedConstant), "UnlistedConstant.Value")]
    public void An_unlisted_binding_is_named(Type type, string name) =>
        Assert.Contains(name, Assert.Single(new BoundSurface([type]).Unlisted), StringComparison.Ordinal);

#pragma warning disable CS0649, CS0169, CA1823, IDE0051, IDE0044, SYSLIB1054, CA5392, CA1060, CA2101 // Never used, on purpose.
    [CStruct("xc_domaininfo_t")]
    [CHeader("xenctrl.h")]
    [StructLayout(LayoutKind.Sequential)]
    private struct MovedField
    {
        internal uint moved;
        internal ushort domain;
        [CField("pad1")] internal ushort rest;
    }

    [CStruct("struct pollfd")]
    [CHeader("poll.h")]
    [StructLayout(LayoutKind.Sequential)]
    private struct WrongSign
    {
        internal uint fd;
        internal short events;
        internal short revents;
    }

    [CStruct("struct pollfd")]
    [CHeader("poll.h")]
    [StructLayout(LayoutKind.Sequential)]
    private struct WrongSize
    {
        internal int fd;
        internal short events;
        internal byte revents;
    }

    [CHeader("xenctrl.h")]
    private static class WrongValue
    {
        [CConstant] internal const uint XEN_DOMCTL_SHADOW_OP_CLEAN = 12;
    }

    [CHeader("xenctrl.h")]
    private static class WrongFunctions
    {
        [DllImport("none")]
        internal static extern int xc_domain_pause(nint xch);

        [DllImport("none")]
        internal static extern int xc_domain_unpause(nint xch, ulong domid);

        [DllImport("none")]
        internal static extern long xc_domain_destroy(nint xch, uint domid);

        [DllImport("none")]
        internal static extern int xc_domain_shutdown(nint xch, uint domid, uint reason);

        [DllImport("none")]
        internal static extern int xc_domain_nr_gpfns(nint xch, uint domid, ref uint gpfns);

        [DllImport("none")]
        internal static extern int xc_version(nint xch, nint cmd, nint arg);

        [DllImport("none")]
        internal static extern int xc_no_such_function();
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct UnlistedStruct
    {
        internal int value;
    }

    private static class UnlistedConstant
    {
        internal const int Value = 1;
    }
#pragma warning restore CS0649, CS0169, CA1823, IDE0051, IDE0044, SYSLIB1054, CA5392, CA1060, CA2101
}
