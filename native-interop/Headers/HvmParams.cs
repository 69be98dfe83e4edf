namespace XenTwoLevelCkpt.NativeInterop.Headers;

/// <summary><c>xen/hvm/params.h</c>: the parameters that belong to a saved HVM or PVH guest.</summary>
[CHeader("xenctrl.h")]
internal static class HvmParams
{
    [CConstant] internal const uint HVM_PARAM_STORE_PFN = 1;
    [CConstant] internal const uint HVM_PARAM_IOREQ_PFN = 5;
    [CConstant] internal const uint HVM_PARAM_BUFIOREQ_PFN = 6;
    [CConstant] internal const uint HVM_PARAM_VIRIDIAN = 9;
    [CConstant] internal const uint HVM_PARAM_IDENT_PT = 12;
    [CConstant] internal const uint HVM_PARAM_CONSOLE_PFN = 17;
    [CConstant] internal const uint HVM_PARAM_ACPI_IOPORTS_LOCATION = 19;
    [CConstant] internal const uint HVM_PARAM_PAGING_RING_PFN = 27;
    [CConstant] internal const uint HVM_PARAM_MONITOR_RING_PFN = 28;
    [CConstant] internal const uint HVM_PARAM_SHARING_RING_PFN = 29;
    [CConstant] internal const uint HVM_PARAM_IOREQ_SERVER_PFN = 32;
    [CConstant] internal const uint HVM_PARAM_NR_IOREQ_SERVER_PAGES = 33;
    [CConstant] internal const uint HVM_PARAM_VM_GENERATION_ID_ADDR = 34;
    [CConstant] internal const uint HVM_PARAM_X87_FIP_WIDTH = 36;
    [CConstant] internal const uint HVM_PARAM_VM86_TSS_SIZED = 37;
    [CConstant] internal const uint HVM_PARAM_MCA_CAP = 38;
}
