using System.Collections.Immutable;
using XenTwoLevelCkpt.Channels;

namespace XenTwoLevelCkpt.Daemon.Checkpoints;

/// <summary>A checkpoint that the node's messages have begun (<see cref="INodeCheckpoints.Begin"/>).</summary>
/// <param name="Label">The index that it has.</param>
/// <param name="Cause">Why.</param>
/// <param name="ForcedBy">The message that forces it; null for another cause.</param>
internal sealed record BegunCheckpoint(long Label, CheckpointCause Cause, ForcingMessage? ForcedBy);

/// <summary>What the loop of a node's checkpoints does next.</summary>
/// <typeparam name="TOrder">What somebody asked for.</typeparam>
internal abstract record SchedulerAction<TOrder>
    where TOrder : class
{
    private SchedulerAction()
    {
    }

    /// <summary>Takes the checkpoint that has begun.</summary>
    /// <param name="Begun">The checkpoint.</param>
    /// <param name="Order">The order that it is for; null for none.</param>
    internal sealed record Take(BegunCheckpoint Begun, TOrder? Order) : SchedulerAction<TOrder>;

    /// <summary>Asks the messages to begin a checkpoint for an order.</summary>
    /// <param name="Order">The order.</param>
    internal sealed record Ask(TOrder Order) : SchedulerAction<TOrder>;

    /// <summary>Asks the messages about batches that wait since a checkpoint failed.</summary>
    internal sealed record Retry : SchedulerAction<TOrder>;

    /// <summary>Tells the messages that the timer has fired.</summary>
    internal sealed record Tick : SchedulerAction<TOrder>;

    /// <summary>Waits for something to happen, at most a time.</summary>
    /// <param name="AtMost">The time until a timer fires; null where none runs.</param>
    internal sealed record Wait(TimeSpan? AtMost) : SchedulerAction<TOrder>;
}

/// <summary>
/// Which checkpoint of a node comes next: orders in their turn, what the messages have begun, the timer of basic checkpoints and the
/// one after a failure. A value: each event gives the next one. Times are those of a clock that nobody sets.
/// </summary>
/// <typeparam name="TOrder">What somebody asked for.</typeparam>
internal sealed record CheckpointScheduler<TOrder>
    where TOrder : class
{
    /// <summary>The first time between a failure and the next attempt; doubled by each that follows.</summary>
    internal static readonly TimeSpan FirstRetry = TimeSpan.FromSeconds(1);

    /// <summary>The longest time between a failure and the next attempt.</summary>
    internal static readonly TimeSpan LastRetry = TimeSpan.FromMinutes(1);

    /// <summary>Orders that have not begun, in their turn.</summary>
    public ImmutableList<TOrder> Orders { get; private init; } = [];

    /// <summary>The order that the messages begin a checkpoint for; null for none.</summary>
    public TOrder? Bound { get; private init; }

    /// <summary>What has begun and is not being taken yet; null for none.</summary>
    public BegunCheckpoint? Begun { get; private init; }

    /// <summary>When the timer of basic checkpoints fires; null for never.</summary>
    public TimeSpan? BasicAt { get; private init; }

    /// <summary>When the messages are asked about batches that wait; null for never.</summary>
    public TimeSpan? RetryAt { get; private init; }

    /// <summary>The time from the next failure of a forced checkpoint to the next attempt.</summary>
    public TimeSpan RetryDelay { get; private init; } = FirstRetry;

    /// <summary>When the timer fires next.</summary>
    /// <param name="now">The time.</param>
    /// <param name="mean">The mean time between two; null where the timer is off.</param>
    /// <param name="jitter">The greatest deviation as a share of the mean, 0 to 1.</param>
    /// <param name="draw">A random number, 0 to 1.</param>
    /// <returns>Null where the timer is off.</returns>
    public static TimeSpan? NextBasic(TimeSpan now, TimeSpan? mean, double jitter, double draw) =>
        mean is { } interval ? now + (interval * (1 + (jitter * ((2 * draw) - 1)))) : null;

    /// <summary>What the loop does next.</summary>
    /// <param name="now">The time.</param>
    public SchedulerAction<TOrder> Next(TimeSpan now) =>
        Begun is not null ? new SchedulerAction<TOrder>.Take(Begun, Bound)
        : Bound is not null ? new SchedulerAction<TOrder>.Wait(null)
        : Orders.Count > 0 ? new SchedulerAction<TOrder>.Ask(Orders[0])
        : RetryAt <= now ? new SchedulerAction<TOrder>.Retry()
        : BasicAt <= now ? new SchedulerAction<TOrder>.Tick()
        : new SchedulerAction<TOrder>.Wait(Left(now));

    /// <summary>The time until the next timer fires, at least 0; null where none runs.</summary>
    /// <param name="now">The time.</param>
    public TimeSpan? Left(TimeSpan now) =>
        (BasicAt < RetryAt ? BasicAt : RetryAt ?? BasicAt) - now is { } left ? (left > TimeSpan.Zero ? left : TimeSpan.Zero) : null;

    /// <summary>Somebody asks for a checkpoint.</summary>
    /// <param name="order">What is wanted.</param>
    public CheckpointScheduler<TOrder> Ordered(TOrder order) => this with { Orders = Orders.Add(order) };

    /// <summary>An order that has not begun is given up; another one is left as it is.</summary>
    /// <param name="order">The order.</param>
    public CheckpointScheduler<TOrder> Withdrawn(TOrder order) => this with { Orders = Orders.Remove(order) };

    /// <summary>No order is left, not even one that the messages begin a checkpoint for.</summary>
    public CheckpointScheduler<TOrder> Emptied() => this with { Orders = [], Bound = null };

    /// <summary>The messages have begun a checkpoint.</summary>
    /// <param name="begun">Which.</param>
    public CheckpointScheduler<TOrder> Begins(BegunCheckpoint begun) => this with { Begun = begun };

    /// <summary>What has begun is given up before it was taken, and ended by whoever did so. An order that it was for has its turn
    /// again.</summary>
    public CheckpointScheduler<TOrder> GivenUpBegun() =>
        this with { Begun = null, Bound = null, Orders = Bound is null ? Orders : Orders.Insert(0, Bound) };

    /// <summary>The messages have answered <see cref="SchedulerAction{TOrder}.Ask"/>.</summary>
    /// <param name="order">The order.</param>
    /// <param name="begins">True where a checkpoint begins for it. Where it does not and another one has begun, the order stays in its
    /// turn; where none has, it is refused.</param>
    public CheckpointScheduler<TOrder> Answered(TOrder order, bool begins) =>
        begins ? Withdrawn(order) with { Bound = order }
        : Begun is not null ? this
        : Withdrawn(order);

    /// <summary>The messages are asked about batches that wait.</summary>
    public CheckpointScheduler<TOrder> Retried() => this with { RetryAt = null };

    /// <summary>The timer of basic checkpoints has a new time.</summary>
    /// <param name="at">When it fires next; null for never.</param>
    public CheckpointScheduler<TOrder> BasicIsAt(TimeSpan? at) => this with { BasicAt = at };

    /// <summary>What has begun is being taken: the messages may begin another one when they hear of its end.</summary>
    public CheckpointScheduler<TOrder> Taking() => this with { Begun = null, Bound = null };

    /// <summary>A checkpoint is in the store.</summary>
    public CheckpointScheduler<TOrder> Saved() => this with { RetryDelay = FirstRetry };

    /// <summary>A checkpoint was given up: what waits for it asks again at once.</summary>
    /// <param name="now">The time.</param>
    public CheckpointScheduler<TOrder> GivenUp(TimeSpan now) => this with { RetryAt = now };

    /// <summary>A checkpoint failed.</summary>
    /// <param name="cause">Why it was taken. Batches that came meanwhile wait also where it was not forced, and nothing else may ask
    /// about them.</param>
    /// <param name="now">The time.</param>
    public CheckpointScheduler<TOrder> Failed(CheckpointCause cause, TimeSpan now) => cause == CheckpointCause.Forced
        ? this with { RetryAt = now + RetryDelay, RetryDelay = RetryDelay * 2 < LastRetry ? RetryDelay * 2 : LastRetry }
        : this with { RetryAt = RetryAt ?? now + FirstRetry };
}
