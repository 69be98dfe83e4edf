using System.Runtime;

namespace XenTwoLevelCkpt.Checkpointing.Node;

/// <summary>Keeps the garbage collector from stopping the threads of the window. The region is the process's: where
/// several nodes live in one process, only one of them has it at a time.</summary>
internal static class QuietWindow
{
    /// <summary>Memory that is kept ready, so that no collection is needed: the window allocates only the registers,
    /// some 10 KiB for a virtual CPU.</summary>
    private const long Bytes = 16 << 20;

    private static int _taken;

    /// <summary>Begins a region without collections.</summary>
    /// <returns>True where <see cref="End"/> has to follow.</returns>
    internal static bool TryBegin()
    {
        if (Interlocked.Exchange(ref _taken, 1) != 0)
        {
            return false;
        }

        if (GCSettings.LatencyMode != GCLatencyMode.NoGCRegion && GC.TryStartNoGCRegion(Bytes))
        {
            return true;
        }

        Volatile.Write(ref _taken, 0);
        return false;
    }

    /// <summary>Ends the region.</summary>
    internal static void End()
    {
        try
        {
            // A collection that became necessary all the same has ended it already.
            if (GCSettings.LatencyMode == GCLatencyMode.NoGCRegion)
            {
                GC.EndNoGCRegion();
            }
        }
        catch (InvalidOperationException)
        {
            // One that came between the question and the call.
        }
        finally
        {
            Volatile.Write(ref _taken, 0);
        }
    }
}
