using System.Diagnostics;
using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.NativeInterop.Xen;

/// <summary>A moment on the monotonic clock, kept over several waits.</summary>
[StructLayout(LayoutKind.Auto)]
internal readonly struct Deadline(TimeSpan timeout)
{
    private readonly long _start = Stopwatch.GetTimestamp();

    /// <summary>What is left, not negative; infinite where the timeout was.</summary>
    internal TimeSpan Left
    {
        get
        {
            if (timeout == Timeout.InfiniteTimeSpan)
            {
                return timeout;
            }

            TimeSpan left = timeout - Stopwatch.GetElapsedTime(_start);
            return left > TimeSpan.Zero ? left : TimeSpan.Zero;
        }
    }
}
