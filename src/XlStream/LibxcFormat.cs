namespace XenTwoLevelCkpt.XlStream;

/// <summary>Constants of the libxc stream: Xen's <c>docs/specs/libxc-migration-stream</c>, revision 3, and
/// <c>tools/libs/guest/xg_sr_stream_format.h</c>.</summary>
internal static class LibxcFormat
{
    internal const int ImageHeaderSize = 24;
    internal const int DomainHeaderSize = 16;
    internal const int RecordHeaderSize = 8;

    internal const ulong Marker = ulong.MaxValue;

    /// <summary>"XENF".</summary>
    internal const uint Id = 0x58454E46;

    /// <summary>What Xen has written since 4.14. Version 2 lacks STATIC_DATA_END and the policies.</summary>
    internal const uint Version = 3;

    internal const ushort OptionBigEndian = 1;

    internal const int PageShift = 12;
    internal const int PageSize = 1 << PageShift;

    /// <summary>Bodies are padded to a multiple of this.</summary>
    internal const int Alignment = 8;

    /// <summary>The longest body that <c>xc_domain_restore</c> reads (<c>REC_LENGTH_MAX</c>).</summary>
    internal const uint MaxRecordLength = 128 << 20;

    /// <summary>PFNs in one PAGE_DATA record as libxc writes it (<c>MAX_BATCH_SIZE</c>), so the one size that
    /// every receiver has met; 4 MiB of pages.</summary>
    internal const int BatchSize = 1024;

    /// <summary>PFNs in one PAGE_DATA record that the reader takes. A record has room for 32,704 pages with
    /// contents; a longer list could only hold PFNs without any, and no saver makes one.</summary>
    internal const int MaxPfnsInRecord = 32768;

    internal const int PageDataHeaderSize = 8;
    internal const int PageTypeShift = 60;

    /// <summary>A PFN has 52 bits; bits 59 to 52 of its entry are reserved.</summary>
    internal const long PfnLimit = 1L << 52;

    /// <summary><c>xen_cpuid_leaf_t</c>: six 32-bit words.</summary>
    internal const int CpuidLeafSize = 24;

    /// <summary><c>xen_msr_entry_t</c>.</summary>
    internal const int MsrEntrySize = 16;

    internal const int PvInfoSize = 8;
    internal const int P2mHeaderSize = 8;
    internal const int TscSize = 24;
    internal const int HvmParamsHeaderSize = 8;
    internal const int HvmParamSize = 16;
    internal const int VcpuHeaderSize = 8;

    /// <summary><c>vcpu_guest_context</c> of a 64-bit guest (<c>xen-foreign/reference.size</c>).</summary>
    internal const int VcpuBasicSize64 = 5168;

    /// <summary><c>vcpu_guest_context</c> of a 32-bit guest.</summary>
    internal const int VcpuBasicSize32 = 2800;

    /// <summary>The room for <c>xen_domctl_ext_vcpucontext</c> in a <c>xen_domctl</c>.</summary>
    internal const int MaxVcpuExtendedSize = 128;

    /// <summary>The two masks that head an XSAVE area (<c>XEN_DOMCTL_setvcpuextstate</c>).</summary>
    internal const int MinVcpuXsaveSize = 16;

    /// <summary><c>xen_domctl_vcpu_msr_t</c>.</summary>
    internal const int VcpuMsrSize = 16;

    /// <summary><c>MAX_VIRT_CPUS</c>: more virtual CPUs no PV guest has.</summary>
    internal const int MaxVcpus = 8192;

    /// <summary>Set in the types of records that a reader may skip.</summary>
    internal const uint OptionalBit = 0x8000_0000;
}

/// <summary>Record types of the libxc stream.</summary>
internal enum LibxcRecordType : uint
{
    End = 0x00,
    PageData = 0x01,
    PvInfo = 0x02,
    PvP2mFrames = 0x03,
    PvVcpuBasic = 0x04,
    PvVcpuExtended = 0x05,
    PvVcpuXsave = 0x06,
    SharedInfo = 0x07,
    TscInfo = 0x08,
    HvmContext = 0x09,
    HvmParams = 0x0a,
    Toolstack = 0x0b,
    PvVcpuMsrs = 0x0c,
    Verify = 0x0d,
    Checkpoint = 0x0e,
    CheckpointDirtyPfnList = 0x0f,
    StaticDataEnd = 0x10,
    CpuidPolicy = 0x11,
    MsrPolicy = 0x12,
}
