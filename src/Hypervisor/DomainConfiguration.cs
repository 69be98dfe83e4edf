namespace XenTwoLevelCkpt.Hypervisor;

/// <summary>What a domain is made of, as far as it does not change while it runs.</summary>
/// <param name="Name">The toolstack's name for the domain.</param>
/// <param name="Kind">How the guest is virtualised.</param>
/// <param name="Toolstack">The toolstack's configuration: for Xen the JSON of a <c>libxl_domain_config</c>.</param>
/// <param name="CpuidPolicy">CPUID leaves that the guest sees: <c>xen_cpuid_leaf_t</c> structs one after the other, as
/// in the X86_CPUID_POLICY record of a migration stream.</param>
/// <param name="MsrPolicy">MSRs that the guest sees: <c>xen_msr_entry_t</c> structs, as in X86_MSR_POLICY.</param>
/// <param name="HypervisorVersion">The hypervisor's release; a restore needs the same.</param>
public sealed record DomainConfiguration(
    string Name, GuestKind Kind, string Toolstack, ReadOnlyMemory<byte> CpuidPolicy, ReadOnlyMemory<byte> MsrPolicy,
    string HypervisorVersion);
