using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Hypervisor.Model;

/// <content>What is mapped ahead of a capture. Copying is as fast without; it is counted for tests.</content>
public sealed partial class ModelGuest
{
    private readonly HashSet<long> _prepared = [];
    private bool _isPrepared;
    private long _copiedSuspended;
    private long _copiedPrepared;

    /// <summary>Pages that were copied while the guest was suspended.</summary>
    public long CopiedSuspended => Interlocked.Read(ref _copiedSuspended);

    /// <summary>Of <see cref="CopiedSuspended"/>, pages that were mapped before.</summary>
    public long CopiedPrepared => Interlocked.Read(ref _copiedPrepared);

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

    // Memory and rings are copied by two threads at a time.
    private void CountCopied(PfnRun run)
    {
        if (_shutdown != ShutdownReason.Suspend)
        {
            return;
        }

        int prepared = 0;
        for (long pfn = run.First; _prepared.Count > 0 && pfn < run.End; pfn++)
        {
            prepared += _prepared.Contains(pfn) ? 1 : 0;
        }

        _ = Interlocked.Add(ref _copiedSuspended, run.Count);
        _ = Interlocked.Add(ref _copiedPrepared, prepared);
    }
}
