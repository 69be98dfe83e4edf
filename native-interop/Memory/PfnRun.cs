using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.NativeInterop.Memory;

/// <summary>A run of consecutive guest page frame numbers: <c>[First, First + Count)</c>.</summary>
/// <param name="First">The first PFN of the run.</param>
/// <param name="Count">The number of pages; positive in every run that this project makes.</param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct PfnRun(long First, int Count)
{
    /// <summary>The PFN after the last one of the run.</summary>
    public long End => First + Count;
}
