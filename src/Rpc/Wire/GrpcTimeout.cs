using System.Globalization;

namespace XenTwoLevelCkpt.Rpc;

/// <summary>The value of the header grpc-timeout: at most eight digits and a unit (PROTOCOL-HTTP2, "Requests").</summary>
internal static class GrpcTimeout
{
    internal const string Header = "grpc-timeout";
    private const long MaxNumber = 99_999_999;
    private const int NanosecondsPerTick = 100;

    // The longest time that a timer can be set to. A deadline further away, which is after 49 days, is none.
    private static readonly TimeSpan MaxTimer = TimeSpan.FromMilliseconds(uint.MaxValue - 1);

    /// <summary>Whether a timer can wait for it.</summary>
    internal static bool IsFinite(TimeSpan timeout) => timeout <= MaxTimer;

    /// <summary>Reads a value. Nanoseconds are rounded up to .NET's ticks of 100 ns.</summary>
    /// <returns>False where it is malformed.</returns>
    internal static bool TryParse(ReadOnlySpan<char> text, out TimeSpan timeout)
    {
        timeout = default;
        if (text.Length is < 2 or > 9
            || !long.TryParse(text[..^1], NumberStyles.None, CultureInfo.InvariantCulture, out long number))
        {
            return false;
        }

        long ticks = text[^1] switch
        {
            'H' => number * TimeSpan.TicksPerHour,
            'M' => number * TimeSpan.TicksPerMinute,
            'S' => number * TimeSpan.TicksPerSecond,
            'm' => number * TimeSpan.TicksPerMillisecond,
            'u' => number * TimeSpan.TicksPerMicrosecond,
            'n' => (number + NanosecondsPerTick - 1) / NanosecondsPerTick,
            _ => -1,
        };
        timeout = new TimeSpan(Math.Max(ticks, 0));
        return ticks >= 0;
    }

    /// <summary>Writes a value in the finest unit that holds it, rounded up. Nothing is below 1 ns: a deadline that has
    /// passed is sent as the shortest one.</summary>
    internal static string Format(TimeSpan timeout)
    {
        long ticks = Math.Max(timeout.Ticks, 0);
        if (ticks <= MaxNumber / NanosecondsPerTick)
        {
            return $"{Math.Max(ticks * NanosecondsPerTick, 1)}n";
        }

        (long Ticks, char Unit)[] units =
        [
            (TimeSpan.TicksPerMicrosecond, 'u'), (TimeSpan.TicksPerMillisecond, 'm'), (TimeSpan.TicksPerSecond, 'S'),
            (TimeSpan.TicksPerMinute, 'M'),
        ];
        foreach ((long size, char unit) in units)
        {
            long number = (ticks / size) + (ticks % size == 0 ? 0 : 1);
            if (number <= MaxNumber)
            {
                return $"{number}{unit}";
            }
        }

        return $"{Math.Min((ticks / TimeSpan.TicksPerHour) + 1, MaxNumber)}H";
    }
}
