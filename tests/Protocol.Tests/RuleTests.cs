using XenTwoLevelCkpt.Protocol.Family;
using Xunit;

namespace XenTwoLevelCkpt.Protocol.Tests;

/// <summary>The rule of each protocol by its letter: what tells it from its neighbours.</summary>
public class RuleTests
{
    private const ReceiveDecision Deliver = ReceiveDecision.Deliver;
    private const ReceiveDecision Forced = ReceiveDecision.CheckpointFirst;

    [Fact]
    public void Aftersend_rises_without_a_checkpoint_until_it_has_sent()
    {
        BcsAftersend node = default;
        Assert.Equal(Deliver, node.OnReceive(1, 3));
        Assert.Equal(3, node.Index);
        _ = node.OnSend(1, out long piggyback);
        Assert.Equal(3, piggyback);
        Assert.Equal(Deliver, node.OnReceive(1, 3));
        Assert.Equal(Forced, node.OnReceive(1, 4));
        Done<BcsAftersend, long>(ref node);
        Assert.Equal(4, node.Index);
        Assert.Equal(Deliver, node.OnReceive(1, 6));
        Assert.False(node.OnRaise(7));
        Assert.Equal(7, node.Index);
    }

    [Fact]
    public void Lazy_raises_at_a_tick_only_after_a_message_with_an_equal_index()
    {
        LazyBcs node = default;
        Assert.True(node.OnTick());
        Done<LazyBcs, long>(ref node);
        Assert.True(node.OnTick());
        Done<LazyBcs, long>(ref node);
        Assert.Equal(1, node.Index);
        Assert.Equal(Deliver, node.OnReceive(1, 0));
        Assert.True(node.OnTick());
        Assert.Equal(1, node.PendingLabel);
        Done<LazyBcs, long>(ref node);
        Assert.Equal(Deliver, node.OnReceive(1, 1));
        Assert.True(node.OnTick());
        Assert.Equal(2, node.PendingLabel);
        node.OnCheckpointFailed();
        Assert.True(node.OnTick());
        Assert.Equal(2, node.PendingLabel);
    }

    [Fact]
    public void Manivannan_Singhal_passes_a_tick_that_a_forced_checkpoint_came_before()
    {
        ManivannanSinghal node = default;
        Assert.Equal(Forced, node.OnReceive(1, 2));
        Done<ManivannanSinghal, long>(ref node);
        Assert.False(node.OnTick());
        Assert.False(node.OnTick());
        Assert.True(node.OnTick());
        Assert.Equal(3, node.PendingLabel);
    }

    [Fact]
    public void Bqf_raises_its_index_at_the_first_send_unless_the_checkpoint_can_stand_in()
    {
        Bqf a = Bqf.Create(0, 2), b = Bqf.Create(1, 2);
        Tick<Bqf, IndexedVector>(ref a, 1);
        Tick<Bqf, IndexedVector>(ref b, 1);

        // Nothing with an equal index was delivered: b's next checkpoint stands in.
        _ = b.OnSend(0, out IndexedVector early);
        Tick<Bqf, IndexedVector>(ref b, 1);
        _ = b.OnSend(0, out IndexedVector late);
        Assert.Equal((1, 1), (b.Index, late.Values[1]));

        // a's checkpoint has the message from before b's successor, and a does not know of that one.
        Assert.Equal(Deliver, a.OnReceive(1, early));
        Tick<Bqf, IndexedVector>(ref a, 1);
        Bqf told = a.Save();
        _ = a.OnSend(1, out IndexedVector raised);
        Assert.Equal((2, 2), (a.Index, raised.Index));

        // Had b's later message come before that send, it would.
        Assert.Equal(Deliver, told.OnReceive(1, late));
        _ = told.OnSend(1, out IndexedVector kept);
        Assert.Equal((1, 1), (kept.Index, kept.Values[0]));

        // The later message itself is in told's next checkpoint, and nothing is known of what follows it.
        Tick<Bqf, IndexedVector>(ref told, 1);
        _ = told.OnSend(1, out kept);
        Assert.Equal(2, kept.Index);
    }

    [Fact]
    public void Hmnr_lets_a_higher_clock_in_where_its_own_sends_are_known_to_be_overtaken()
    {
        Hmnr a = Hmnr.Create(0, 2), b = Hmnr.Create(1, 2);
        Tick<Hmnr, HmnrPiggyback>(ref b, 1);
        _ = a.OnSend(1, out HmnrPiggyback first);
        Assert.Equal(Deliver, b.OnReceive(0, first));
        _ = b.OnSend(0, out HmnrPiggyback answer);
        Assert.True(answer.Clock > a.Index);

        // BCS would force here. The answer comes from the very node that was sent to, with no checkpoint after that.
        Assert.Equal(Deliver, a.OnReceive(1, answer));
        Assert.Equal(1, a.Index);

        // With a checkpoint in between, the answer closes a Z-cycle round it.
        Tick<Hmnr, HmnrPiggyback>(ref b, 2);
        _ = b.OnSend(0, out HmnrPiggyback round);
        Assert.Equal(Forced, a.OnReceive(1, round));
    }

    [Fact]
    public void Fdas_takes_news_until_it_sends_and_Fdi_only_as_its_first_event()
    {
        DependencyVector newsOf1 = First<Fdas, DependencyVector>(1), newsOf2 = First<Fdas, DependencyVector>(2);
        Fdas fdas = Fdas.Create(0, 3);
        Assert.Equal(Deliver, fdas.OnReceive(1, newsOf1));
        Assert.Equal(Deliver, fdas.OnReceive(2, newsOf2));
        Fdi fdi = Fdi.Create(0, 3);
        Assert.Equal(Deliver, fdi.OnReceive(1, newsOf1));
        Assert.Equal(Forced, fdi.OnReceive(2, newsOf2));

        fdas = Fdas.Create(0, 3);
        Assert.Equal(Deliver, fdas.OnReceive(1, newsOf1));
        _ = fdas.OnSend(1, out _);
        Assert.Equal(Deliver, fdas.OnReceive(1, newsOf1));
        Assert.Equal(Forced, fdas.OnReceive(2, newsOf2));
        Done<Fdas, DependencyVector>(ref fdas);
        Assert.Equal(Deliver, fdas.OnReceive(2, newsOf2));
        _ = fdas.OnSend(1, out DependencyVector sent);
        Assert.Equal([2, 1, 1], sent.Values.ToArray());
    }

    [Fact]
    public void Nras_Cas_and_Cbr_checkpoint_where_their_names_say()
    {
        Nras nras = default;
        Assert.Equal(Deliver, nras.OnReceive(1, default));
        Assert.Equal(Deliver, nras.OnReceive(1, default));
        Assert.False(nras.OnSend(1, out _));
        Assert.Equal(Forced, nras.OnReceive(1, default));

        Cas cas = default;
        Assert.Equal(Deliver, cas.OnReceive(1, default));
        Assert.True(cas.OnSend(1, out _));
        cas.OnCheckpointFailed();
        Assert.Equal(Forced, cas.OnReceive(1, default));

        Cbr cbr = default;
        Assert.Equal(Deliver, cbr.OnReceive(1, default));
        Assert.Equal(Forced, cbr.OnReceive(1, default));
        Done<Cbr, NoPiggyback>(ref cbr);
        Assert.Equal(Deliver, cbr.OnReceive(1, default));
    }

    [Fact]
    public void Chandy_Lamport_begins_at_node_0_and_every_node_announces()
    {
        ChandyLamport initiator = ChandyLamport.Create(0, 2), other = ChandyLamport.Create(1, 2);
        Assert.False(other.OnTick());
        Assert.True(initiator.OnTick());
        Assert.True(initiator.OnCheckpointDone());
        _ = initiator.OnSend(1, out long marker);
        Assert.Equal(Forced, other.OnReceive(0, marker));
        Assert.True(other.OnCheckpointDone());
        Assert.Equal(Deliver, other.OnReceive(0, marker));
        Assert.Equal(1, other.Index);
    }

    [Fact]
    public void What_messages_carry_is_told_by_size()
    {
        Assert.Equal(8, Bcs.Traits.PiggybackSize(1000));
        Assert.Equal(0, Nras.Traits.PiggybackSize(1000));
        Assert.Equal(4000, Fdas.Traits.PiggybackSize(1000));
        Assert.Equal(8 + 4250, Hmnr.Traits.PiggybackSize(1000));
    }

    private static void Done<TProtocol, TPiggyback>(ref TProtocol node)
        where TProtocol : struct, IProtocol<TProtocol, TPiggyback> => node.OnCheckpointDone();

    private static void Tick<TProtocol, TPiggyback>(ref TProtocol node, long label)
        where TProtocol : struct, IProtocol<TProtocol, TPiggyback>
    {
        Assert.True(node.OnTick());
        Assert.Equal(label, node.PendingLabel);
        _ = node.OnCheckpointDone();
    }

    private static TPiggyback First<TProtocol, TPiggyback>(int node)
        where TProtocol : struct, IProtocol<TProtocol, TPiggyback>
    {
        TProtocol state = TProtocol.Create(node, 3);
        _ = state.OnSend(0, out TPiggyback piggyback);
        return piggyback;
    }
}
