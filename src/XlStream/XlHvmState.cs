namespace XenTwoLevelCkpt.XlStream;

/// <summary>State of an HVM or PVH guest beside its memory.</summary>
/// <param name="CpuidPolicy">X86_CPUID_POLICY: an array of <c>xen_cpuid_leaf_t</c>, 24 bytes each. Empty: none, and the
/// restoring libxl makes its own.</param>
/// <param name="MsrPolicy">X86_MSR_POLICY: an array of <c>xen_msr_entry_t</c>, 16 bytes each; may be empty.</param>
/// <param name="Tsc">X86_TSC_INFO.</param>
/// <param name="HvmParams">HVM_PARAMS: values that are not zero, by <c>HVM_PARAM_*</c>. Only those that libxc saves
/// can be restored: Xen refuses to set obsolete ones, and the restore fails.</param>
/// <param name="HvmContext">HVM_CONTEXT, as <c>xc_domain_hvm_getcontext</c> gives it; not empty.</param>
public sealed record XlHvmState(
    ReadOnlyMemory<byte> CpuidPolicy,
    ReadOnlyMemory<byte> MsrPolicy,
    XlTsc Tsc,
    IReadOnlyDictionary<uint, ulong> HvmParams,
    ReadOnlyMemory<byte> HvmContext)
{
    internal void Check(string parameter)
    {
        StateChecks.Policies(CpuidPolicy, MsrPolicy, parameter);
        StateChecks.Blob(HvmContext, 1, int.MaxValue, 1, nameof(HvmContext), parameter);
        ArgumentNullException.ThrowIfNull(HvmParams, parameter);
        foreach ((uint index, ulong value) in HvmParams)
        {
            if (value == 0)
            {
                throw new ArgumentException($"HVM parameter {index} is zero; libxc saves only others.", parameter);
            }
        }
    }
}
