namespace XenTwoLevelCkpt.Images.Format;

/// <summary>Times in files: microseconds since 1970-01-01T00:00:00Z, unsigned.</summary>
internal static class Timestamp
{
    private static readonly ulong Max = ToMicroseconds(DateTimeOffset.MaxValue);

    internal static ulong ToMicroseconds(DateTimeOffset time) =>
        (ulong)Math.Max(0, (time - DateTimeOffset.UnixEpoch).Ticks / TimeSpan.TicksPerMicrosecond);

    internal static bool TryRead(ulong microseconds, out DateTimeOffset time)
    {
        bool possible = microseconds <= Max;
        time = possible
            ? DateTimeOffset.UnixEpoch.AddTicks((long)microseconds * TimeSpan.TicksPerMicrosecond)
            : default;
        return possible;
    }

    /// <summary>A time as it comes back from a file.</summary>
    internal static DateTimeOffset Rounded(DateTimeOffset time)
    {
        _ = TryRead(ToMicroseconds(time), out DateTimeOffset rounded);
        return rounded;
    }
}
