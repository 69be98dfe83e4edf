using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Xen;

/// <summary>One CPUID leaf of a CPU policy: <c>xen_cpuid_leaf_t</c>.</summary>
[CStruct("xen_cpuid_leaf_t")]
[CHeader("xenctrl.h")]
[StructLayout(LayoutKind.Sequential)]
public struct CpuidLeaf
{
    [CField("leaf")] internal uint leafNumber;
    [CField("subleaf")] internal uint subleafNumber;
    internal uint a;
    internal uint b;
    internal uint c;
    internal uint d;

    /// <summary>The leaf (EAX of the CPUID instruction).</summary>
    public readonly uint Leaf => leafNumber;

    /// <summary>The subleaf (ECX), or 0xffffffff for a leaf without any.</summary>
    public readonly uint Subleaf => subleafNumber;

    /// <summary>What the instruction leaves in EAX.</summary>
    public readonly uint Eax => a;

    /// <summary>What the instruction leaves in EBX.</summary>
    public readonly uint Ebx => b;

    /// <summary>What the instruction leaves in ECX.</summary>
    public readonly uint Ecx => c;

    /// <summary>What the instruction leaves in EDX.</summary>
    public readonly uint Edx => d;
}

/// <summary>One MSR of a CPU policy: <c>xen_msr_entry_t</c>.</summary>
[CStruct("xen_msr_entry_t")]
[CHeader("xenctrl.h")]
[StructLayout(LayoutKind.Sequential)]
public struct MsrEntry
{
    internal uint idx;
    [CField("flags")] internal uint reserved;
    internal ulong val;

    /// <summary>The MSR's number.</summary>
    public readonly uint Index => idx;

    /// <summary>Reserved, zero.</summary>
    public readonly uint Flags => reserved;

    /// <summary>The MSR's value.</summary>
    public readonly ulong Value => val;
}
