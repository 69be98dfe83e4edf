namespace XenTwoLevelCkpt.NativeInterop.Headers;

/// <summary><c>xen/domctl.h</c>: constants of domain control operations.</summary>
[CHeader("xenctrl.h")]
internal static class Domctl
{
    [CConstant] internal const uint XEN_DOMINF_dying = 1 << 0;
    [CConstant] internal const uint XEN_DOMINF_hvm_guest = 1 << 1;
    [CConstant] internal const uint XEN_DOMINF_shutdown = 1 << 2;
    [CConstant] internal const uint XEN_DOMINF_paused = 1 << 3;
    [CConstant] internal const uint XEN_DOMINF_blocked = 1 << 4;
    [CConstant] internal const uint XEN_DOMINF_running = 1 << 5;
    [CConstant] internal const uint XEN_DOMINF_hap = 1 << 8;
    [CConstant] internal const uint XEN_DOMINF_shutdownmask = 255;
    [CConstant] internal const int XEN_DOMINF_shutdownshift = 16;
    [CConstant] internal const uint XEN_INVALID_MAX_VCPU_ID = uint.MaxValue;

    [CConstant] internal const uint XEN_DOMCTL_SHADOW_OP_OFF = 0;
    [CConstant] internal const uint XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY = 2;
    [CConstant] internal const uint XEN_DOMCTL_SHADOW_OP_CLEAN = 11;
    [CConstant] internal const uint XEN_DOMCTL_SHADOW_OP_PEEK = 12;
    [CConstant] internal const uint XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL = 1;

    [CConstant] internal const int XEN_DOMCTL_PFINFO_LTAB_SHIFT = 28;
    [CConstant] internal const uint XEN_DOMCTL_PFINFO_LTAB_MASK = 0xfU << 28;
    [CConstant] internal const uint XEN_DOMCTL_PFINFO_NOTAB = 0;
    [CConstant] internal const uint XEN_DOMCTL_PFINFO_BROKEN = 0xdU << 28;
    [CConstant] internal const uint XEN_DOMCTL_PFINFO_XALLOC = 0xeU << 28;
    [CConstant] internal const uint XEN_DOMCTL_PFINFO_XTAB = 0xfU << 28;
}
