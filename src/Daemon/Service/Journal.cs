using Microsoft.Extensions.Logging;

namespace XenTwoLevelCkpt.Daemon.Service;

/// <summary>The systemd journal, where it reads what the daemon prints: it takes a line's level from a prefix (sd-daemon(3)).
/// </summary>
public static class Journal
{
    /// <summary>True where the journal reads the standard output.</summary>
    public static bool ReadsOutput { get; } = Reads(1);

    /// <summary>A line for the standard error, with a prefix where the journal reads that.</summary>
    /// <param name="level">The level.</param>
    /// <param name="text">The text.</param>
    public static string Line(LogLevel level, string text) => Reads(2) ? $"<{Priority(level)}>{text}" : text;

    /// <summary>Whether a stream is the journal's.</summary>
    /// <param name="stream">JOURNAL_STREAM, which children inherit whatever their streams are (systemd.exec(5)).</param>
    /// <param name="target">What the stream is, as /proc/self/fd says: the journal's are sockets.</param>
    internal static bool Reads(string? stream, string? target) =>
        !string.IsNullOrEmpty(stream) && target?.StartsWith("socket:", StringComparison.Ordinal) == true;

    private static bool Reads(int descriptor) => Reads(
        Environment.GetEnvironmentVariable("JOURNAL_STREAM"), new FileInfo($"/proc/self/fd/{descriptor}").LinkTarget);

    // syslog(3); as the library's formatter has them.
    private static int Priority(LogLevel level) => level switch
    {
        LogLevel.Critical => 2,
        LogLevel.Error => 3,
        LogLevel.Warning => 4,
        LogLevel.Information => 6,
        _ => 7,
    };
}
