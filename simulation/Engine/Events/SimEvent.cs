using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Simulation.Events;

/// <summary>One future event: 16 bytes, so that four share a cache line.</summary>
/// <param name="Time">When it happens, in nanoseconds of simulated time, from 0 to <see cref="EventQueue.Horizon"/>.
/// </param>
/// <param name="Data">What happens: the model's own encoding. Events of equal time come in the order of this number,
/// whatever the order in which they were scheduled; a kind in the highest bits orders kinds.</param>
[StructLayout(LayoutKind.Sequential)]
public readonly record struct SimEvent(long Time, ulong Data) : IComparable<SimEvent>
{
    /// <inheritdoc/>
    public int CompareTo(SimEvent other) =>
        Time != other.Time ? (Time < other.Time ? -1 : 1) : Data.CompareTo(other.Data);

    /// <summary>True where the left one happens first.</summary>
    /// <param name="left">An event.</param>
    /// <param name="right">An event.</param>
    public static bool operator <(SimEvent left, SimEvent right) =>
        left.Time < right.Time || (left.Time == right.Time && left.Data < right.Data);

    /// <summary>True where the left one happens last.</summary>
    /// <param name="left">An event.</param>
    /// <param name="right">An event.</param>
    public static bool operator >(SimEvent left, SimEvent right) => right < left;

    /// <summary>True where the left one does not happen after the right one.</summary>
    /// <param name="left">An event.</param>
    /// <param name="right">An event.</param>
    public static bool operator <=(SimEvent left, SimEvent right) => !(right < left);

    /// <summary>True where the left one does not happen before the right one.</summary>
    /// <param name="left">An event.</param>
    /// <param name="right">An event.</param>
    public static bool operator >=(SimEvent left, SimEvent right) => !(left < right);
}
