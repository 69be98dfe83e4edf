using Xunit;

namespace XenTwoLevelCkpt.Channels.Tests;

/// <summary>Who a batch of an earlier incarnation is for, where the guests of lost nodes have come together since.</summary>
public sealed class AudienceTests
{
    private static readonly Guid OfA = Guid.NewGuid(), OfB = Guid.NewGuid(), OfC = Guid.NewGuid();

    // b was lost and its guests came to a in incarnation 1; then both were lost, and came to c in incarnation 2.
    private static readonly Departure[] Apart =
    [
        new("b", "c", 2) { Earlier = [new Stay("a", 1)] },
        new("a", "c", 2),
    ];

    [Theory]
    [InlineData("a", 0, true, false)]
    [InlineData("a", 1, true, true)]
    [InlineData("b", 0, false, true)]
    public void A_batch_is_for_the_guests_that_were_at_its_node_when_it_was_sent(string node, int origin, bool forA, bool forB)
    {
        Topology topology = Make(Apart, Hosted("a", "c", 2, OfA), Hosted("b", "c", 2, OfB));
        Audience? audience = topology.AudienceOf(topology.HostedOf(node), origin);
        Assert.Equal((forA, forB, false), (audience!.Includes(OfA), audience.Includes(OfB), audience.Includes(OfC)));
    }

    [Theory]
    [InlineData(0, false, false)]
    [InlineData(1, false, false)]
    [InlineData(2, true, true)]
    public void A_batch_to_a_node_that_lives_is_for_guests_that_had_come_when_it_was_sent(int origin, bool forA, bool forB)
    {
        Topology topology = Make(Apart, Hosted("a", "c", 2, OfA), Hosted("b", "c", 2, OfB));
        Audience? audience = topology.AudienceOf(null, origin);
        Assert.Equal((forA, forB, true), (audience?.Includes(OfA) ?? true, audience?.Includes(OfB) ?? true, audience?.Includes(OfC) ?? true));
    }

    // b's guests are in a's checkpoint, and come with it.
    [Theory]
    [InlineData("a", 0, true, false)]
    [InlineData("a", 1, true, true)]
    [InlineData("b", 0, false, true)]
    public void Guests_that_came_together_had_homes_of_their_own(string node, int origin, bool forA, bool forB)
    {
        Topology topology = Make(
            [new("b", "a", 1), new("a", "c", 2)], Hosted("a", "c", 2, OfA, OfB), Hosted("b", "a", 1, OfB));
        Audience? audience = topology.AudienceOf(topology.HostedOf(node), origin);
        Assert.Equal((forA, forB), (audience!.Includes(OfA), audience.Includes(OfB)));
        Assert.False(topology.AudienceOf(null, 1)!.Includes(OfB));
        Assert.Null(topology.AudienceOf(null, 2));
    }

    private static HostedState Hosted(string name, string host, int incarnation, params Guid[] domains) =>
        new(name, host, incarnation, Line: 3, First: 0, domains, []);

    private static Topology Make(Departure[] lost, params HostedState[] hosted)
    {
        var topology = new Topology(new NodeMessengerOptions
        {
            Cluster = Guid.NewGuid(),
            Node = "c",
            Peers = [new PeerAddress("a", "a", 1), new PeerAddress("b", "b", 1)],
            LogDirectory = "log",
            Lost = lost,
        });
        topology.Host([.. hosted.Select(topology.Make)]);
        return topology;
    }
}
