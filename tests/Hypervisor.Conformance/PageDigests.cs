using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Hypervisor.Conformance;

/// <summary>A digest of each page of a guest: a copy of all memory without keeping it.</summary>
public sealed class PageDigests
{
    private const int PageSize = 4096;

    /// <summary>16 MiB of pages a copy.</summary>
    private const int BatchPages = 4096;

    private readonly PageType[] _types;
    private readonly Dictionary<long, ulong> _digests = [];

    private PageDigests(PageType[] types) => _types = types;

    public static ulong ZeroPage { get; } = Digest(new byte[PageSize]);

    /// <summary>The PFNs that were copied, and the digests of their pages.</summary>
    public IReadOnlyDictionary<long, ulong> Pages => _digests;

    /// <summary>PFNs whose type has contents and that were not copied all the same.</summary>
    public IReadOnlyList<long> Unread { get; private set; } = [];

    public static PageType[] TypesOf(IDomain domain)
    {
        var types = new PageType[domain.GetPfnCount()];
        domain.GetPageTypes(0, types);
        return types;
    }

    public static bool HasContents(PageType type) =>
        type is not (PageType.Unpopulated or PageType.Broken or PageType.AllocateOnly);

    public static PageDigests Of(IDomain domain)
    {
        var digests = new PageDigests(TypesOf(domain));
        var unread = new List<long>();
        var batchUnread = new List<long>();
        byte[] buffer = new byte[BatchPages * PageSize];
        foreach (PfnRun run in digests.Runs())
        {
            domain.CopyPages([run], buffer, batchUnread);
            unread.AddRange(batchUnread);
            for (int i = 0; i < run.Count; i++)
            {
                if (!batchUnread.Contains(run.First + i))
                {
                    digests._digests[run.First + i] = Digest(buffer.AsSpan(i * PageSize, PageSize));
                }
            }
        }

        digests.Unread = unread;
        return digests;
    }

    public static ulong Digest(ReadOnlySpan<byte> page)
    {
        ulong digest = 0xCBF2_9CE4_8422_2325;
        foreach (ulong word in MemoryMarshal.Cast<byte, ulong>(page))
        {
            digest = (digest ^ word) * 0x9E37_79B9_7F4A_7C15;
            digest ^= digest >> 29;
        }

        return digest;
    }

    /// <summary>PFNs whose pages differ from another copy of the same guest. Where the type changed the log need
    /// not tell, so those do not count.</summary>
    public IEnumerable<long> ChangedSince(PageDigests before) =>
        _digests.Where(page =>
                before._types[page.Key] == _types[page.Key]
                && before._digests.TryGetValue(page.Key, out ulong digest) && digest != page.Value)
            .Select(static page => page.Key);

    /// <summary>The pages with contents, as runs of at most a batch.</summary>
    private IEnumerable<PfnRun> Runs()
    {
        for (long pfn = 0; pfn < _types.Length; pfn++)
        {
            long first = pfn;
            while (pfn < _types.Length && HasContents(_types[pfn]) && pfn - first < BatchPages)
            {
                pfn++;
            }

            if (pfn > first)
            {
                yield return new PfnRun(first, (int)(pfn - first));
                pfn--;
            }
        }
    }
}
