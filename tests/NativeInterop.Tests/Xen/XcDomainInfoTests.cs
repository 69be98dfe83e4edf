using XenTwoLevelCkpt.NativeInterop.Headers;
using XenTwoLevelCkpt.NativeInterop.Xen;
using Xunit;

namespace XenTwoLevelCkpt.NativeInterop.Tests.Xen;

public class XcDomainInfoTests
{
    [Fact]
    public void Each_flag_has_its_property()
    {
        Assert.True(new XcDomainInfo { flags = Domctl.XEN_DOMINF_dying }.IsDying);
        Assert.True(new XcDomainInfo { flags = Domctl.XEN_DOMINF_hvm_guest }.IsHvm);
        Assert.True(new XcDomainInfo { flags = Domctl.XEN_DOMINF_paused }.IsPaused);
        Assert.True(new XcDomainInfo { flags = Domctl.XEN_DOMINF_blocked }.IsBlocked);
        Assert.True(new XcDomainInfo { flags = Domctl.XEN_DOMINF_running }.IsRunning);
        Assert.True(new XcDomainInfo { flags = Domctl.XEN_DOMINF_hap }.HasHardwareAssistedPaging);
        XcDomainInfo none = default;
        Assert.False(
            none.IsDying || none.IsHvm || none.IsPaused || none.IsBlocked || none.IsRunning || none.IsShutdown
            || none.HasHardwareAssistedPaging);
    }

    [Fact]
    public void A_suspended_domain_says_so()
    {
        var info = new XcDomainInfo { flags = Domctl.XEN_DOMINF_shutdown | (2u << 16) };
        Assert.True(info.IsShutdown);
        Assert.Equal((int)XcShutdownReason.Suspend, info.ShutdownReason);
    }

    [Fact]
    public void A_handle_reads_as_the_toolstack_prints_it()
    {
        XcDomainInfo info = default;
        for (int i = 0; i < 16; i++)
        {
            info.handle[i] = (byte)(i * 0x11);
        }

        Assert.Equal("00112233-4455-6677-8899-aabbccddeeff", info.Uuid.ToString());
    }

    [Fact]
    public void A_domain_without_vcpus_has_no_highest_one()
    {
        Assert.Null(new XcDomainInfo { max_vcpu_id = uint.MaxValue }.MaxVcpuId);
        Assert.Equal(3, new XcDomainInfo { max_vcpu_id = 3 }.MaxVcpuId);
    }
}
