namespace XenTwoLevelCkpt.NativeInterop.Xen;

/// <summary>How a <see cref="XenStore"/> is used.</summary>
public sealed record XenStoreOptions
{
    /// <summary>How long xenstored has for one answer. It answers in tens of microseconds; one that is swapped out, or goes through a
    /// live update, may need seconds.</summary>
    public TimeSpan Limit { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long it has once it has let a call go unanswered, until it answers again: so that many calls in a row to a
    /// xenstored that hangs do not take <see cref="Limit"/> each.</summary>
    public TimeSpan SilentLimit { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>The daemon's socket; null for where it is by default, or where <c>XENSTORED_PATH</c> or <c>XENSTORED_RUNDIR</c> say.
    /// </summary>
    public string? Socket { get; init; }
}
