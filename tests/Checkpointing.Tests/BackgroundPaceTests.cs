using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Checkpointing.Pacing;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Hypervisor.Model;
using Xunit;

namespace XenTwoLevelCkpt.Checkpointing.Tests;

/// <summary>How far the copy that is made while guests run is held back, on a clock that tests move.</summary>
public sealed class BackgroundPaceTests
{
    [Theory]
    [InlineData(0.25, 100, 300)]
    [InlineData(0.5, 100, 100)]
    [InlineData(1, 100, 0)]
    public void A_piece_is_followed_by_the_rest_that_keeps_the_share(double share, int busy, int rest) =>
        Assert.Equal(Milliseconds(rest), new BackgroundPace(share, null).Note(Milliseconds(busy), Milliseconds(busy), 1 << 20));

    [Fact]
    public void The_rate_is_kept_where_it_is_the_narrower_limit()
    {
        var pace = new BackgroundPace(0.5, 1000);
        Assert.Equal(Milliseconds(900), pace.Note(Milliseconds(100), Milliseconds(100), 1000));
        Assert.Equal(Milliseconds(100), new BackgroundPace(0.5, 1000).Note(Milliseconds(100), Milliseconds(100), 10));
    }

    [Fact]
    public void What_was_not_rested_is_owed_and_what_was_not_used_is_not_saved_up()
    {
        var pace = new BackgroundPace(0.5, null);
        Assert.Equal(BackgroundPace.LongestRest, pace.Note(Seconds(10), Seconds(10), 0));
        Assert.Equal(BackgroundPace.LongestRest, pace.Note(Seconds(2), Seconds(0), 0));
        Assert.Equal(Seconds(1), pace.Note(Seconds(7), Seconds(0), 0));
        Assert.Equal(TimeSpan.Zero, pace.Note(Seconds(100), Seconds(0), 0));
        Assert.Equal(Seconds(1), pace.Note(Seconds(1), Seconds(1), 0));
    }

    [Fact]
    public void Over_many_pieces_of_any_size_the_share_and_the_rate_are_kept()
    {
        var random = new Random(7);
        var pace = new BackgroundPace(0.25, 10_000_000);
        TimeSpan busy = default, all = default, rest = default;
        long octets = 0;
        for (int i = 0; i < 10_000; i++)
        {
            TimeSpan piece = Milliseconds(random.Next(1, 50));
            long written = random.Next(0, 400_000);
            (busy, all, octets) = (busy + piece, all + rest + piece, octets + written);
            rest = pace.Note(rest + piece, piece, written);
        }

        all += rest;
        Assert.InRange(busy / all, 0.1, 0.2501);
        Assert.InRange(octets / all.TotalSeconds, 0, 10_001_000);

        // And no more than that is given away: each piece is paid for by the narrower of the two.
        Assert.True(busy / all > 0.24 || octets / all.TotalSeconds > 6_000_000);
    }

    [Fact]
    public async Task A_first_checkpoint_rests_between_its_pieces_and_never_while_guests_stand_still()
    {
        await using var node = new ModelNode();
        node.AddGuest("guest", new StepperWorkload(1, 300, 8), pages: 8192);
        var clock = new Clock(node.Hypervisor);
        await using NodeCheckpointer paced = Paced(node, clock);
        await paced.CheckpointAsync(1, cancellationToken: TestContext.Current.CancellationToken);

        // 8,192 pages in pieces of 1,024, each of which takes 10 ms here.
        Assert.InRange(clock.Rests.Count, 8, 10);
        Assert.All(clock.Rests, r => Assert.True(r >= Milliseconds(10)));
        Assert.False(clock.RestedInTheWindow);
    }

    [Fact]
    public async Task A_checkpoint_that_somebody_waits_for_does_not_rest()
    {
        await using var node = new ModelNode();
        node.AddGuest("guest", new StepperWorkload(1, 300, 8), pages: 8192);
        var clock = new Clock(node.Hypervisor);
        await using NodeCheckpointer paced = Paced(node, clock);
        await paced.CheckpointAsync(
            1, settings: new CheckpointSettings { Urgent = true }, cancellationToken: TestContext.Current.CancellationToken);
        Assert.Empty(clock.Rests);
    }

    [Fact]
    public async Task A_rest_ends_when_the_checkpoint_is_given_up()
    {
        await using var node = new ModelNode();
        node.AddGuest("guest", new StepperWorkload(1, 300, 8), pages: 8192);
        using var giveUp = new CancellationTokenSource();
        var clock = new Clock(node.Hypervisor) { AtRest = giveUp.Cancel };
        await using NodeCheckpointer paced = Paced(node, clock);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => paced.CheckpointAsync(1, cancellationToken: giveUp.Token));
        _ = Assert.Single(clock.Rests);
    }

    private static NodeCheckpointer Paced(ModelNode node, Clock clock) => new(
        node.Hypervisor, node.Store, node.Disks, node.Options with { BackgroundShare = 0.25, StateDirectory = $"{node.Options.StateDirectory}-paced" })
    {
        Pacer = new BackgroundPacer(new BackgroundPace(0.25, null)) { Clock = clock.Read, Sleep = clock.Rest },
    };

    private static TimeSpan Milliseconds(int n) => TimeSpan.FromMilliseconds(n);

    private static TimeSpan Seconds(int n) => TimeSpan.FromSeconds(n);

    /// <summary>Goes on by 10 ms whenever it is read, and by each rest.</summary>
    private sealed class Clock(ModelHypervisor hypervisor)
    {
        private TimeSpan _now;

        internal List<TimeSpan> Rests { get; } = [];

        internal bool RestedInTheWindow { get; private set; }

        internal Action AtRest { get; init; } = () => { };

        internal TimeSpan Read() => _now += Milliseconds(10);

        internal void Rest(TimeSpan rest, CancellationToken token)
        {
            Rests.Add(rest);
            _now += rest;
            RestedInTheWindow |= hypervisor.ListDomains(CancellationToken.None).Any(d => d.ShutdownReason == ShutdownReason.Suspend);
            Assert.False(token.IsCancellationRequested);
            AtRest();
        }
    }
}
