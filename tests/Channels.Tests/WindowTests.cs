using Xunit;

namespace XenTwoLevelCkpt.Channels.Tests;

public sealed class WindowTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Over_any_number_of_connections_each_batch_comes_once_and_in_order(int seed)
    {
        var random = new Random(seed);
        var sender = new SendWindow(400);
        var receiver = new ReceiveWindow();
        var wire = new Queue<SentBatch>();
        long sent = 0, delivered = 0;
        for (int step = 0; step < 20_000; step++)
        {
            switch (random.Next(8))
            {
                case 0 or 1 or 2:
                    int length = random.Next(1, 100);
                    Assert.Equal(sender.Count == 0 || sender.Bytes + length <= 400, sender.HasRoomFor(length));
                    if (sender.HasRoomFor(length))
                    {
                        wire.Enqueue(sender.Add(++sent, new byte[length]));
                    }

                    break;
                case 3 or 4 or 5:
                    if (wire.TryDequeue(out SentBatch batch) && receiver.Accept(batch.Sequence))
                    {
                        Assert.Equal(++delivered, batch.Index);
                        receiver.Settle(batch.Sequence);
                    }

                    break;
                case 6:
                    sender.Acknowledge(receiver.Settled);
                    Assert.Equal(sent - receiver.Settled, sender.Count);
                    break;
                default:
                    if (random.Next(10) == 0)
                    {
                        // What was on the wire is lost with the connection.
                        wire.Clear();
                        foreach (SentBatch again in sender.Resume(receiver.Expected))
                        {
                            wire.Enqueue(again);
                        }
                    }

                    break;
            }
        }

        foreach (SentBatch again in sender.Resume(receiver.Expected))
        {
            Assert.True(receiver.Accept(again.Sequence));
            Assert.Equal(++delivered, again.Index);
        }

        Assert.Equal(sent, delivered);
        Assert.True(sent > 1000);
    }

    [Fact]
    public void A_batch_that_was_sent_again_is_known()
    {
        var receiver = new ReceiveWindow();
        Assert.True(receiver.Accept(1));
        Assert.False(receiver.Accept(1));
        Assert.Equal(2, receiver.Expected);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(2)]
    [InlineData(long.MaxValue)]
    [InlineData(long.MinValue)]
    public void A_sequence_number_that_cannot_be_is_refused_and_changes_nothing(long sequence)
    {
        var receiver = new ReceiveWindow();
        Assert.Throws<ChannelException>(() => receiver.Accept(sequence));
        Assert.True(receiver.Accept(1));
    }

    [Fact]
    public void Batches_are_settled_in_their_order_and_not_before_they_came()
    {
        var receiver = new ReceiveWindow();
        Assert.Throws<InvalidOperationException>(() => receiver.Settle(1));
        _ = receiver.Accept(1);
        _ = receiver.Accept(2);
        Assert.Throws<InvalidOperationException>(() => receiver.Settle(2));
        receiver.Settle(1);
        receiver.Settle(2);
        Assert.Equal(2, receiver.Settled);
    }

    [Fact]
    public void An_acknowledgement_of_what_was_never_sent_is_refused()
    {
        var sender = new SendWindow(100);
        _ = sender.Add(1, new byte[10]);
        Assert.Throws<ChannelException>(() => sender.Acknowledge(2));
        Assert.Equal(1, sender.Count);
        sender.Acknowledge(1);
        sender.Acknowledge(0);
        Assert.Equal(1, sender.Acknowledged);
        Assert.Equal(0, sender.Bytes);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    [InlineData(0)]
    public void A_peer_that_forgot_the_channel_is_noticed(long expected)
    {
        var sender = new SendWindow(100);
        for (int i = 0; i < 3; i++)
        {
            _ = sender.Add(1, new byte[10]);
        }

        sender.Acknowledge(2);
        Assert.Throws<ChannelException>(() => sender.Resume(expected));
        Assert.Single(sender.Resume(3));
        Assert.Empty(sender.Resume(4));
    }

    [Fact]
    public void One_batch_is_taken_however_long_it_is()
    {
        var sender = new SendWindow(10);
        _ = sender.Add(1, new byte[100]);
        Assert.False(sender.HasRoomFor(1));
        Assert.Throws<InvalidOperationException>(() => sender.Add(1, new byte[1]));
    }
}
