using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Checkpointing.Memory;

/// <content>A domain that is left out of checkpoints for a while: nothing is forgotten, and nothing is written.</content>
internal sealed partial class MemoryCapture
{
    // Pages of an image that was given up. Null where nothing is owed.
    private PageSet? _owed;

    // From the suspension on marks say something else, so it is not known which pages the image has.
    private bool _copiesUnknown;

    /// <summary>The pages that <see cref="Feed"/> goes through: all of a full image, or those that are owed.</summary>
    private PageSet FeedSource => _owed ?? _populated;

    /// <inheritdoc/>
    public bool TryStepAside()
    {
        _domain.EndCapture();
        bool full = _feeding && _owed is null;
        if (full || _collected || _copiesUnknown || _unpopulated > 0 || IncompleteBecause is not null)
        {
            _owed = null;
            return false;
        }

        _owed ??= new PageSet(PfnCount);
        foreach (PfnRun run in _marks.View.EnumerateRuns())
        {
            for (long pfn = run.First; pfn < run.End; pfn++)
            {
                _ = _owed.Add(pfn);
            }
        }

        _writer = null;
        return true;
    }

    // What is in the cache and what was to be read again is still of no image.
    private void ComeBack()
    {
        _feeding = true;
        _feed = 0;
    }
}
