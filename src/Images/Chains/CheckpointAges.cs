using System.Globalization;
using XenTwoLevelCkpt.Images.Store;

namespace XenTwoLevelCkpt.Images.Chains;

/// <summary>How old checkpoints are, by times between them that can be believed.</summary>
/// <remarks>
/// A clock that jumps forward makes all checkpoints old at once. So an age is the sum of the times from one checkpoint to the
/// next, and to now, and a time counts only where it is not negative, and at most half of the age that is allowed or four times
/// what lies between two checkpoints of the store at the median: a jump that is longer removes nothing, one that is shorter at
/// most what is in the older half. Where a host was off for that long, checkpoints stay that much longer.
/// </remarks>
public sealed class CheckpointAges
{
    // With fewer, the jump itself would be the median.
    private const int MinGaps = 3;
    private const int Typical = 4;

    private readonly TimeSpan[] _ages;

    /// <summary>Counts.</summary>
    /// <param name="checkpoints">The checkpoints, oldest first.</param>
    /// <param name="now">The present by the clock.</param>
    /// <param name="allowed">The age that is allowed.</param>
    public CheckpointAges(IReadOnlyList<CheckpointManifest> checkpoints, DateTimeOffset now, TimeSpan allowed)
    {
        ArgumentNullException.ThrowIfNull(checkpoints);
        _ages = new TimeSpan[checkpoints.Count];
        TimeSpan[] gaps = [.. checkpoints.Select((m, i) =>
            (i + 1 < checkpoints.Count ? checkpoints[i + 1].Closing.Captured : now) - m.Closing.Captured)];
        TimeSpan limit = allowed / 2;
        TimeSpan[] between = [.. gaps.SkipLast(1).Where(g => g > TimeSpan.Zero).Order()];
        if (between.Length >= MinGaps && between[(between.Length - 1) / 2] * Typical is var typical && typical > limit)
        {
            limit = typical;
        }

        TimeSpan age = TimeSpan.Zero;
        for (int i = gaps.Length - 1; i >= 0; i--)
        {
            if (gaps[i] > limit)
            {
                Doubt ??= string.Create(
                    CultureInfo.InvariantCulture,
                    $"Nothing is removed for its age by the {gaps[i].TotalHours:F0} h "
                    + $"{(i + 1 < gaps.Length ? "after" : "since")} the checkpoint of epoch {checkpoints[i].Epoch}: did the clock jump? "
                    + $"Where it did not, remove what is too old by number ('keep').");
            }
            else if (gaps[i] > TimeSpan.Zero)
            {
                age += gaps[i];
            }

            _ages[i] = age;
        }
    }

    /// <summary>A time that is not believed, as a sentence; null where there is none.</summary>
    public string? Doubt { get; }

    /// <summary>How old a checkpoint is.</summary>
    /// <param name="index">Its place in the list.</param>
    public TimeSpan this[int index] => _ages[index];
}
