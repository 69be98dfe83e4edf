using System.Collections.Concurrent;
using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.V1;
using Xunit;

namespace XenTwoLevelCkpt.Channels.Tests;

/// <summary>A node that takes nothing delays only what is for it.</summary>
public sealed class RoomTests
{
    // 3 MB of the longer frames; a batch has 1 MiB at most.
    private const int Many = 3000;

    // They have room in a batch.
    private const int Few = 200;

    private static readonly byte[] AlicesGuest = [2, 0, 0, 0, 0, 1];
    private static readonly byte[] BobsGuest = [2, 0, 0, 0, 0, 2];
    private static readonly byte[] Own = [2, 0, 0, 0, 0, 9];

    [Fact]
    public async Task Frames_for_one_node_pass_while_another_one_takes_none()
    {
        using var uplink = new QueueUplink(mayLose: false);
        await using Victim victim = await Victim.StartAsync(uplink: uplink, window: 4 << 10);
        using ChannelCall alice = await AliceAsync(victim);

        // More for bob, who is away, than its window and a batch take.
        for (int i = 0; i < Many; i++)
        {
            uplink.Send(Frame(BobsGuest, 1000));
            uplink.Send(Frame(AlicesGuest, 100));
        }

        await ComeAsync(alice, Many);
        Assert.Equal(0, uplink.Left);
    }

    [Fact]
    public async Task Where_frames_may_be_lost_a_node_that_is_away_for_long_does_not_stop_the_others()
    {
        using var uplink = new QueueUplink(mayLose: true);
        await using Victim victim = await Victim.StartAsync(
            patience: TimeSpan.FromMilliseconds(1), uplink: uplink, window: 4 << 10, waiting: FrameBatch.MaxFrame + 4096);
        using ChannelCall alice = await AliceAsync(victim);

        for (int i = 0; i < Many; i++)
        {
            uplink.Send(Frame(BobsGuest, 1000));
        }

        while (victim.Messenger.Peers.First(p => p.Name == "bob").Problem?.Contains(" have been dropped.", StringComparison.Ordinal) != true)
        {
            await Task.Delay(1, TestContext.Current.CancellationToken);
        }

        for (int i = 0; i < Few; i++)
        {
            uplink.Send(Frame(AlicesGuest, 100));
        }

        await ComeAsync(alice, Few);
    }

    [Fact]
    public async Task A_guest_that_floods_does_not_take_the_channels_from_others_and_what_is_dropped_is_counted()
    {
        using var uplink = new QueueUplink(mayLose: true);
        await using Victim victim = await Victim.StartAsync(uplink: uplink, floodLimit: 1);
        victim.Messenger.KnowGuests([0x020000000009]);
        using ChannelCall alice = await AliceAsync(victim);
        byte[] all = [255, 255, 255, 255, 255, 255];
        for (int i = 0; i < Many; i++)
        {
            uplink.Send(Frame(all, 1000));
        }

        while (victim.Messenger.Losses.Flooding < Many * 9 / 10)
        {
            await Task.Delay(1, TestContext.Current.CancellationToken);
        }

        // Made-up sources share one room: the first 2,048 are learned by others.
        for (int i = 0; i < Many; i++)
        {
            byte[] frame = Frame(AlicesGuest, 100);
            (frame[10], frame[11]) = ((byte)(0x80 | (i >> 8)), (byte)i);
            uplink.Send(frame);
        }

        while (victim.Messenger.Losses.Strangers < Many - 2048)
        {
            await Task.Delay(1, TestContext.Current.CancellationToken);
        }

        Assert.Equal(Many - 2048, victim.Messenger.Losses.Strangers);
        for (int i = 0; i < Few; i++)
        {
            uplink.Send(Frame(AlicesGuest, 100));
        }

        // Beside those of the strangers, and the broadcasts that were within the limit.
        await ComeAsync(alice, 2048 + Few + (Many - (int)victim.Messenger.Losses.Flooding));
    }

    // Alice stays, and bob was there: the node knows the addresses of a guest of each.
    private static async Task<ChannelCall> AliceAsync(Victim victim)
    {
        ChannelCall alice = await victim.OpenAsync(victim.Hello());
        await LearnAsync(alice, AlicesGuest);
        using ChannelCall bob = await victim.OpenAsync(victim.Hello("bob"));
        await LearnAsync(bob, BobsGuest);
        await bob.CompleteAsync();
        while (await bob.ReadAsync() is not null)
        {
        }

        return alice;
    }

    private static byte[] Frame(byte[] to, int length)
    {
        byte[] frame = new byte[length];
        to.CopyTo(frame, 0);
        Own.CopyTo(frame, 6);
        return frame;
    }

    // A frame of a guest of the node, so that its address is known to be there.
    private static async Task LearnAsync(ChannelCall call, byte[] address)
    {
        byte[] frame = new byte[FrameBatch.MinFrame];
        Own.CopyTo(frame, 0);
        address.CopyTo(frame, 6);
        byte[] frames = new byte[FrameBatch.Prefix + FrameBatch.MinFrame];
        int used = 0;
        _ = FrameBatch.TryAppend(frames, ref used, frame);
        ChannelMessage batch = Victim.Batch(1);
        batch.Batch.Frames = Google.Protobuf.ByteString.CopyFrom(frames);
        await call.WriteAsync(batch);
        _ = await Victim.AcknowledgedAsync(call, 1);
    }

    private static async Task ComeAsync(ChannelCall call, int count)
    {
        while (count > 0)
        {
            if ((await call.ReadAsync(TestContext.Current.CancellationToken))!.Batch is { } batch)
            {
                count -= (int)batch.FrameCount;
                await call.WriteAsync(new ChannelMessage { Acknowledgement = new Acknowledgement { Through = batch.Sequence } });
            }
        }

        Assert.Equal(0, count);
    }

    /// <summary>Gives frames in order; takes any.</summary>
    private sealed class QueueUplink(bool mayLose) : IUplink
    {
        private readonly ConcurrentQueue<byte[]> _frames = new();
        private readonly AutoResetEvent _ready = new(initialState: false);

        internal int Left => _frames.Count;

        public int HeaderSize => 0;

        public bool MayLose => mayLose;

        public long Dropped => 0;

        internal void Send(byte[] frame)
        {
            _frames.Enqueue(frame);
            _ = _ready.Set();
        }

        public bool Wait(TimeSpan timeout) => _ready.WaitOne(timeout);

        public void Wake() => _ready.Set();

        public int Read(Span<byte> frame)
        {
            if (!_frames.TryDequeue(out byte[]? next))
            {
                return 0;
            }

            next.CopyTo(frame);
            return next.Length;
        }

        public void Write(ReadOnlySpan<byte> frame, Audience? audience = null)
        {
        }

        public byte[] Save() => [];

        public void Restore(ReadOnlySpan<byte> saved)
        {
        }

        public void Admit(IReadOnlyCollection<Guid> guests, ReadOnlySpan<byte> saved)
        {
        }

        public void Join(IReadOnlyCollection<Guid> guests)
        {
        }

        public void Dispose() => _ready.Dispose();
    }
}
