namespace XenTwoLevelCkpt.NativeInterop.Headers;

/// <summary><c>xen/sched.h</c>: why a domain shut down.</summary>
[CHeader("xenctrl.h")]
internal static class Sched
{
    [CConstant] internal const int SHUTDOWN_poweroff = 0;
    [CConstant] internal const int SHUTDOWN_reboot = 1;
    [CConstant] internal const int SHUTDOWN_suspend = 2;
    [CConstant] internal const int SHUTDOWN_crash = 3;
    [CConstant] internal const int SHUTDOWN_watchdog = 4;
    [CConstant] internal const int SHUTDOWN_soft_reset = 5;
}
