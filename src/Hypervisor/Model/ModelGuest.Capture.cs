using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Hypervisor.Model;

/// <content>What is mapped ahead of a capture. Copying is as fast without; it is counted for tests.</content>
public sealed partial class ModelGuest
{
    private readonly HashSet<long> _prepared = [];
    private bool _isPrepared;

    /// <summary>Pages that were copied while the guest was suspended.</summary>
    public long CopiedSuspended { get; private set; }

    /// <summary>Of <see cref="CopiedSuspended"/>, pages that were mapped before.</summary>
    public long CopiedPrepared { get; private set; }

    internal void PrepareCapture(ReadOnlySpan<PfnRun> pages)
    {
        EndCapture();
        _isPrepared = true;
        _ = ExtendCapture(pages);
    }

    internal int ExtendCapture(ReadOnlySpan<PfnRun> pages)
    {
        int added = 0;
        if (_isPrepared)
        {
            foreach (PfnRun run in pages)
            {
                for (long pfn = run.First; pfn < run.End; pfn++)
                {
                    added += _prepared.Add(pfn) ? 1 : 0;
                }
            }
        }

        return added;
    }

    internal void EndCapture()
    {
        _prepared.Clear();
        _isPrepared = false;
    }

    private void CountCopied(long pfn)
    {
        if (_shutdown == ShutdownReason.Suspend)
        {
            CopiedSuspended++;
            CopiedPrepared += _prepared.Count > 0 && _prepared.Contains(pfn) ? 1 : 0;
        }
    }
}
