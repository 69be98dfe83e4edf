namespace XenTwoLevelCkpt.Checkpointing.Node;

/// <summary>How long what is done side by side in the suspend window takes, for each domain.</summary>
/// <param name="domains">How many domains.</param>
internal sealed class WindowTimes(int domains)
{
    /// <summary>T_m.</summary>
    internal TimeSpan[] Memory { get; } = new TimeSpan[domains];

    /// <summary>T_a.</summary>
    internal TimeSpan[] Registers { get; } = new TimeSpan[domains];

    /// <summary>T_d.</summary>
    internal TimeSpan[] Disks { get; } = new TimeSpan[domains];

    /// <summary>T_c.</summary>
    internal TimeSpan[] Channels { get; } = new TimeSpan[domains];

    /// <summary>The phases of the node: each until the last domain had it behind itself.</summary>
    internal PhaseTimes Phases(TimeSpan suspend, TimeSpan resume) =>
        new(suspend, Longest(Registers), Longest(Memory), Longest(Disks), Longest(Channels), resume);

    private static TimeSpan Longest(TimeSpan[] times) => times.Length == 0 ? TimeSpan.Zero : times.Max();
}
