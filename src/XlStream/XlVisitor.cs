namespace XenTwoLevelCkpt.XlStream;

/// <summary>Receives what a stream holds, in the order of the stream.</summary>
/// <remarks>Spans lie in buffers that are used again: they are valid during the call only.</remarks>
public abstract class XlVisitor
{
    /// <summary>The configuration of the domain: <c>libxl_domain_config</c> as JSON. Files of xl only.</summary>
    /// <param name="json">The configuration.</param>
    public virtual void OnConfig(string json)
    {
    }

    /// <summary>The domain header, before all other records.</summary>
    /// <param name="kind">How the guest is virtualised.</param>
    /// <param name="xenMajor">The major release of the Xen that wrote the stream; 0 for a converted legacy stream.</param>
    /// <param name="xenMinor">The minor release of that Xen.</param>
    public virtual void OnDomain(XlGuestKind kind, int xenMajor, int xenMinor)
    {
    }

    /// <summary>X86_CPUID_POLICY.</summary>
    /// <param name="leaves">An array of <c>xen_cpuid_leaf_t</c>, 24 bytes each.</param>
    public virtual void OnCpuidPolicy(ReadOnlySpan<byte> leaves)
    {
    }

    /// <summary>X86_MSR_POLICY.</summary>
    /// <param name="entries">An array of <c>xen_msr_entry_t</c>, 16 bytes each.</param>
    public virtual void OnMsrPolicy(ReadOnlySpan<byte> entries)
    {
    }

    /// <summary>X86_PV_INFO.</summary>
    /// <param name="guestWidth">Bytes of a guest's word, 4 or 8.</param>
    /// <param name="pageTableLevels">3 or 4.</param>
    public virtual void OnPvInfo(byte guestWidth, byte pageTableLevels)
    {
    }

    /// <summary>X86_PV_P2M_FRAMES; once, before all pages.</summary>
    /// <param name="p2m">The frames.</param>
    public virtual void OnP2mFrames(XlP2mFrames p2m)
    {
    }

    /// <summary>Pages of a PAGE_DATA record, at most 1024. A PFN that comes again replaces what came before, its type
    /// included.</summary>
    /// <param name="pfns">Their PFNs.</param>
    /// <param name="types">What each of them is.</param>
    /// <param name="data">The contents, 4096 bytes each, of those that have any
    /// (<see cref="XlPageTypes.HasContents"/>).</param>
    /// <remarks><see cref="XlPageType.Unpopulated"/> takes no page away at a restore that an earlier record populated,
    /// but in a live save it says that the page is not there any more, or not yet to be had.</remarks>
    public virtual void OnPages(
        ReadOnlySpan<long> pfns, ReadOnlySpan<XlPageType> types, ReadOnlySpan<byte> data)
    {
    }

    /// <summary>X86_TSC_INFO.</summary>
    /// <param name="tsc">The virtual time-stamp counter.</param>
    public virtual void OnTsc(XlTsc tsc)
    {
    }

    /// <summary>HVM_PARAMS; not called where there are none.</summary>
    /// <param name="values">Values by <c>HVM_PARAM_*</c>.</param>
    public virtual void OnHvmParams(IReadOnlyDictionary<uint, ulong> values)
    {
    }

    /// <summary>HVM_CONTEXT.</summary>
    /// <param name="context">The context, as <c>xc_domain_hvm_getcontext</c> gives it.</param>
    public virtual void OnHvmContext(ReadOnlySpan<byte> context)
    {
    }

    /// <summary>SHARED_INFO of a PV guest.</summary>
    /// <param name="page">The page, 4096 bytes.</param>
    public virtual void OnSharedInfo(ReadOnlySpan<byte> page)
    {
    }

    /// <summary>X86_PV_VCPU_BASIC, EXTENDED, XSAVE or MSRS; not called for an empty one.</summary>
    /// <param name="id">The virtual CPU's number.</param>
    /// <param name="part">Which of the four.</param>
    /// <param name="context">The state.</param>
    public virtual void OnVcpu(uint id, XlVcpuPart part, ReadOnlySpan<byte> context)
    {
    }

    /// <summary>EMULATOR_XENSTORE_DATA or EMULATOR_CONTEXT of an HVM guest. Files of xl only.</summary>
    /// <param name="isContext">True for EMULATOR_CONTEXT.</param>
    /// <param name="emulator">1 for the traditional QEMU, 2 for the upstream one, 0 for unknown.</param>
    /// <param name="index">Which of the domain's emulators.</param>
    /// <param name="data">What it saved.</param>
    public virtual void OnEmulator(bool isContext, uint emulator, uint index, ReadOnlySpan<byte> data)
    {
    }
}
