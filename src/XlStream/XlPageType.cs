namespace XenTwoLevelCkpt.XlStream;

/// <summary>What a PFN of a stream is: <c>XEN_DOMCTL_PFINFO_*</c> shifted right by 28, as in bits 63 to 60 of a PFN's
/// entry in PAGE_DATA.</summary>
public enum XlPageType : byte
{
    /// <summary>Ordinary memory (NOTAB).</summary>
    Normal = 0x0,

    /// <summary>A PV page table of level 1. In the stream the entries of page tables hold PFNs.</summary>
    L1Table = 0x1,

    /// <summary>A PV page table of level 2.</summary>
    L2Table = 0x2,

    /// <summary>A PV page table of level 3.</summary>
    L3Table = 0x3,

    /// <summary>A PV page table of level 4.</summary>
    L4Table = 0x4,

    /// <summary>Set together with a page table level: the table is pinned.</summary>
    Pinned = 0x8,

    /// <summary>The page is broken (BROKEN); no contents, and nothing is populated for it.</summary>
    Broken = 0xd,

    /// <summary>Populated, without contents (XALLOC).</summary>
    AllocateOnly = 0xe,

    /// <summary>Nothing is populated here (XTAB). In a live save also a page that could not be copied yet; it comes
    /// again.</summary>
    Unpopulated = 0xf,
}

/// <summary>Questions about page types.</summary>
public static class XlPageTypes
{
    /// <summary>True for a type that the format knows.</summary>
    /// <param name="type">The type.</param>
    public static bool IsKnown(this XlPageType type) =>
        HasContents(type) || type is XlPageType.Broken or XlPageType.AllocateOnly or XlPageType.Unpopulated;

    /// <summary>True for a type whose pages have 4096 bytes in the stream: ordinary memory and page tables.</summary>
    /// <param name="type">The type.</param>
    public static bool HasContents(this XlPageType type) => type == XlPageType.Normal || IsPageTable(type);

    /// <summary>True for a page table, pinned or not.</summary>
    /// <param name="type">The type.</param>
    public static bool IsPageTable(this XlPageType type) =>
        (type & ~XlPageType.Pinned) is >= XlPageType.L1Table and <= XlPageType.L4Table;
}
