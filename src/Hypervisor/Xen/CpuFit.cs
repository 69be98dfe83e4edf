using XenTwoLevelCkpt.NativeInterop.Xen;

namespace XenTwoLevelCkpt.Hypervisor.Xen;

/// <summary>Whether a guest's virtual CPUs can be what they were on another host.</summary>
/// <remarks>Xen itself compares the highest leaves and MSR_INTEL_PLATFORM_INFO alone (<c>x86_cpu_policies_are_compatible</c> in
/// <c>xen/lib/x86/policy.c</c>), not the features that a guest has found when it booted. CPUID by Intel's Software
/// Developer's Manual, volume 2A, and AMD's Architecture Programmer's Manual, volume 3, appendix E.</remarks>
internal static class CpuFit
{
    private const uint PlatformInfo = 0xCE;

    // Leaves without subleaves have this one.
    private const uint None = uint.MaxValue;

    // AMD's processors have these bits of leaf 1, EDX, in leaf 80000001, EDX, once more; Xen's policies of a host have not.
    private const uint Mirrored = 0x0183F3FF;

    // Words of features, each with the bits that say nothing of the host: what the guest's own registers turn on (APIC, OSXSAVE,
    // OSPKE), and how its CPUs are counted (HTT, CmpLegacy).
    private static readonly Word[] Features =
    [
        new(1, None, "ecx", l => l.Ecx, Exempt: 1u << 27),
        new(1, None, "edx", l => l.Edx, Exempt: (1u << 9) | (1u << 28)),
        new(7, 0, "ebx", l => l.Ebx),
        new(7, 0, "ecx", l => l.Ecx, Exempt: 1u << 4),
        new(7, 0, "edx", l => l.Edx),
        new(7, 1, "eax", l => l.Eax),
        new(7, 1, "ebx", l => l.Ebx),
        new(7, 1, "ecx", l => l.Ecx),
        new(7, 1, "edx", l => l.Edx),
        new(7, 2, "edx", l => l.Edx),
        new(0xD, 0, "eax", l => l.Eax),
        new(0xD, 0, "edx", l => l.Edx),
        new(0xD, 1, "eax", l => l.Eax),
        new(0x80000001, None, "ecx", l => l.Ecx, Exempt: 1u << 1),
        new(0x80000001, None, "edx", l => l.Edx, Exempt: Mirrored),
        new(0x80000007, None, "edx", l => l.Edx),
        new(0x80000008, None, "ebx", l => l.Ebx),
        new(0x80000021, None, "eax", l => l.Eax),
    ];

    /// <summary>What the host lacks, as a clause; null where the guest fits.</summary>
    /// <param name="guest">What the guest's CPUs are.</param>
    /// <param name="host">The most that a guest's CPUs of this kind can be here.</param>
    internal static string? Problem(CpuPolicy guest, CpuPolicy host)
    {
        CpuidLeaf vendor = Find(guest, 0, None), here = Find(host, 0, None);
        if (vendor.Leaf == here.Leaf && (vendor.Ebx, vendor.Ecx, vendor.Edx) != (here.Ebx, here.Ecx, here.Edx))
        {
            return $"it has a processor of {Text(vendor)}, and this host one of {Text(here)}";
        }

        string[] missing =
        [
            .. Features.Select(word => (word, Bits: word.Of(guest) & ~word.Of(host) & ~word.Exempt)).Where(m => m.Bits != 0)
                .Select(m => $"CPUID {m.word.Leaf:x}{(m.word.Subleaf == None ? "" : $"/{m.word.Subleaf:x}")} {m.word.Register} bits {m.Bits:x}"),
        ];
        if (missing.Length > 0)
        {
            return $"it uses features of a processor that this host's lacks ({string.Join(", ", missing)})";
        }

        uint width = Find(guest, 0x80000008, None).Eax & 0xFF, most = Find(host, 0x80000008, None).Eax & 0xFF;
        if (width > most && most > 0)
        {
            return $"it has physical addresses of {width} bits, and this host of {most}";
        }

        ulong platform = Value(guest, PlatformInfo) & ~Value(host, PlatformInfo);
        return platform == 0 ? null : $"it uses what this host's processor lacks (MSR {PlatformInfo:x} bits {platform:x})";
    }

    private static CpuidLeaf Find(CpuPolicy policy, uint leaf, uint subleaf)
    {
        foreach (CpuidLeaf there in policy.Leaves.Span)
        {
            if (there.Leaf == leaf && there.Subleaf == subleaf)
            {
                return there;
            }
        }

        return default;
    }

    private static ulong Value(CpuPolicy policy, uint index)
    {
        foreach (MsrEntry there in policy.Msrs.Span)
        {
            if (there.Index == index)
            {
                return there.Value;
            }
        }

        return 0;
    }

    private static string Text(CpuidLeaf vendor)
    {
        Span<char> text = stackalloc char[12];
        ReadOnlySpan<uint> words = [vendor.Ebx, vendor.Edx, vendor.Ecx];
        for (int i = 0; i < text.Length; i++)
        {
            char octet = (char)((words[i / 4] >> (8 * (i % 4))) & 0x7F);
            text[i] = char.IsControl(octet) ? '?' : octet;
        }

        return text.ToString();
    }

    private sealed record Word(uint Leaf, uint Subleaf, string Register, Func<CpuidLeaf, uint> Take, uint Exempt = 0)
    {
        internal uint Of(CpuPolicy policy) => Take(Find(policy, Leaf, Subleaf));
    }
}
