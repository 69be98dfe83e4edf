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
    /// <param name="bytes">Memory that is kept ready.</param>
    /// <returns>True where <see cref="End"/> has to follow.</returns>
    internal static bool TryBegin(long bytes = Bytes)
    {
        if (Interlocked.Exchange(ref _taken, 1) != 0)
        {
            return false;
        }

        bool begun = false;
        try
        {
            begun = GCSettings.LatencyMode != GCLatencyMode.NoGCRegion && GC.TryStartNoGCRegion(bytes);
        }
        catch (InvalidOperationException)
        {
            // The runtime still has a region that a collection ended, whatever LatencyMode tells. The window does without one, and
            // the next one finds it ended.
            Leave();
        }
        catch (ArgumentOutOfRangeException)
        {
            // More than a heap with a limit (DOTNET_GCHeapHardLimit, a small cgroup) can keep ready: the window does without.
        }
        finally
        {
            if (!begun)
            {
                Volatile.Write(ref _taken, 0);
            }
        }

        return begun;
    }

    /// <summary>Ends the region.</summary>
    internal static void End()
    {
        Leave();
        Volatile.Write(ref _taken, 0);
    }

    private static void Leave()
    {
        try
        {
            GC.EndNoGCRegion();
        }
        catch (InvalidOperationException)
        {
            // A collection that became necessary all the same has ended it already.
        }
    }
}
