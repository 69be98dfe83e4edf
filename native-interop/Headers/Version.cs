namespace XenTwoLevelCkpt.NativeInterop.Headers;

/// <summary><c>xen/version.h</c>, and the number of the hypercall that it belongs to.</summary>
[CHeader("xenctrl.h")]
internal static class Version
{
    [CConstant] internal const int XENVER_version = 0;
    [CConstant] internal const int XENVER_extraversion = 1;
    [CConstant] internal const int XEN_EXTRAVERSION_LEN = 16;
    [CConstant] internal const int XENVER_commandline = 9;
    [CConstant("sizeof(xen_commandline_t)")] internal const int CommandLineLength = 1024;
    [CConstant("__HYPERVISOR_xen_version")] internal const uint HYPERVISOR_xen_version = 17;
}
