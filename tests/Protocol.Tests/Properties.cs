using FsCheck;
using FsCheck.Fluent;

namespace XenTwoLevelCkpt.Protocol.Tests;

/// <summary>How properties are checked, and what random runs are made of.</summary>
internal static class Properties
{
    internal static Config Quiet { get; } = Config.QuickThrowOnFailure.WithQuietOnSuccess(true);

    /// <summary>Runs: a number of nodes, and for each step a number that <see cref="Host{TProtocol, TPiggyback}.Step"/>
    /// reads. Long enough for Z-cycles through several nodes.</summary>
    internal static Arbitrary<Schedule> Schedules(int nodes = 4, int steps = 150) => Arb.From(
        from count in Gen.Choose(2, nodes)
        from length in Gen.Choose(1, steps)
        from choices in Gen.Choose(0, (1 << 20) - 1).ArrayOf(length)
        select new Schedule(count, choices),
        schedule => Shrink(schedule));

    // Drops stretches of steps, ever shorter ones.
    private static IEnumerable<Schedule> Shrink(Schedule schedule)
    {
        int[] steps = schedule.Steps;
        for (int size = steps.Length / 2; size > 0; size /= 2)
        {
            for (int at = 0; at + size <= steps.Length; at += size)
            {
                yield return schedule with { Steps = [.. steps[..at], .. steps[(at + size)..]] };
            }
        }
    }
}

/// <summary>A run to be.</summary>
internal sealed record Schedule(int Nodes, int[] Steps)
{
    public override string ToString() => $"{Nodes} nodes, steps [{string.Join(", ", Steps)}]";
}
