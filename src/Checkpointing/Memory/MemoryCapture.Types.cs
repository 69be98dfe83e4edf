using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Checkpointing.Memory;

/// <content>The comparison of page types: what entered or left the physical map, while the guest runs.</content>
internal sealed partial class MemoryCapture
{
    /// <summary>Finds pages that entered or left the physical map, which no log shows.</summary>
    /// <returns>The number of such pages.</returns>
    /// <remarks>Followed by a reading of the log: a page that entered is written by the guest unlogged until then.
    /// </remarks>
    internal long CompareTypes()
    {
        long changed = CompareTypes(touchNew: true);
        Trim();
        return changed;
    }

    private long CompareTypes(bool touchNew)
    {
        long changed = Compare(touchNew, removeOld: true);
        _ = Take(ReadLog(final: false));
        return changed;
    }

    private long Compare(bool touchNew, bool removeOld)
    {
        RequireSize(_domain.GetPfnCount());
        if (removeOld)
        {
            // Otherwise what is known stays behind the map, and the next reading of the log has to notice.
            _pageCount = _domain.GetPageCount();
        }

        long changed = 0;
        var walk = new TypeWalk(_domain, _populated, _types);
        while (walk.MoveNext())
        {
            changed += CompareBatch(walk.First, walk.Types, touchNew, removeOld);
        }

        return changed;
    }

    private long CompareBatch(long first, ReadOnlySpan<PageType> types, bool touchNew, bool removeOld)
    {
        long changed = 0;
        DirtyBitmap populated = _populated.View;
        for (int i = 0; i < types.Length; i++)
        {
            bool now = TypeWalk.IsPopulated(types[i]);
            if (now == populated[first + i])
            {
                continue;
            }

            changed++;
            if (now && touchNew)
            {
                Enter(first + i);
            }
            else if (now && removeOld)
            {
                _ = _populated.Add(first + i);
                PopulatedPages++;
            }
            else if (removeOld)
            {
                Leave(first + i);
            }
        }

        return changed;
    }

    private void Enter(long pfn)
    {
        _ = _populated.Add(pfn);
        PopulatedPages++;
        Touch(pfn);
    }

    private void Leave(long pfn)
    {
        _ = _populated.Remove(pfn);
        PopulatedPages--;
        _unpopulated++;
        _ = _cache.Remove(pfn);
        _writer!.AddUnpopulated(new PfnRun(pfn, 1));
    }
}
