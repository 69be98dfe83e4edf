namespace XenTwoLevelCkpt.XlStream;

/// <summary>The four parts of a PV virtual CPU's state.</summary>
public enum XlVcpuPart
{
    /// <summary>X86_PV_VCPU_BASIC: registers (<c>XEN_DOMCTL_getvcpucontext</c>).</summary>
    Basic,

    /// <summary>X86_PV_VCPU_EXTENDED: system calls and events (<c>XEN_DOMCTL_get_ext_vcpucontext</c>).</summary>
    Extended,

    /// <summary>X86_PV_VCPU_XSAVE: the XSAVE area (<c>XEN_DOMCTL_getvcpuextstate</c>).</summary>
    Xsave,

    /// <summary>X86_PV_VCPU_MSRS: model-specific registers (<c>XEN_DOMCTL_get_vcpu_msrs</c>).</summary>
    Msrs,
}

/// <summary>How long the parts may be: what <c>xg_sr_restore_x86_pv.c</c> demands.</summary>
internal static class VcpuParts
{
    internal static LibxcRecordType RecordType(this XlVcpuPart part) => part switch
    {
        XlVcpuPart.Basic => LibxcRecordType.PvVcpuBasic,
        XlVcpuPart.Extended => LibxcRecordType.PvVcpuExtended,
        XlVcpuPart.Xsave => LibxcRecordType.PvVcpuXsave,
        _ => LibxcRecordType.PvVcpuMsrs,
    };

    internal static XlVcpuPart Part(this LibxcRecordType type) => type switch
    {
        LibxcRecordType.PvVcpuBasic => XlVcpuPart.Basic,
        LibxcRecordType.PvVcpuExtended => XlVcpuPart.Extended,
        LibxcRecordType.PvVcpuXsave => XlVcpuPart.Xsave,
        _ => XlVcpuPart.Msrs,
    };

    internal static bool IsLength(XlVcpuPart part, int length, byte guestWidth) => part switch
    {
        XlVcpuPart.Basic => length == BasicSize(guestWidth),
        XlVcpuPart.Extended => length <= LibxcFormat.MaxVcpuExtendedSize,
        XlVcpuPart.Xsave => length >= LibxcFormat.MinVcpuXsaveSize,
        _ => length % LibxcFormat.VcpuMsrSize == 0,
    };

    internal static string Lengths(XlVcpuPart part, byte guestWidth) => part switch
    {
        XlVcpuPart.Basic => $"{BasicSize(guestWidth)}",
        XlVcpuPart.Extended => $"at most {LibxcFormat.MaxVcpuExtendedSize}",
        XlVcpuPart.Xsave => $"{LibxcFormat.MinVcpuXsaveSize} or more",
        _ => $"a multiple of {LibxcFormat.VcpuMsrSize}",
    };

    private static int BasicSize(byte guestWidth) =>
        guestWidth == 8 ? LibxcFormat.VcpuBasicSize64 : LibxcFormat.VcpuBasicSize32;
}
