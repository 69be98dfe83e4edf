using Xunit;

namespace XenTwoLevelCkpt.Channels.Tests;

public sealed class MacTableTests
{
    private static readonly TimeSpan Lifetime = TimeSpan.FromSeconds(300);

    [Fact]
    public void An_address_is_behind_the_peer_that_it_was_seen_from_last()
    {
        var table = new MacTable(16, Lifetime);
        Assert.Null(table.Find(Frame(to: 1), TimeSpan.Zero));
        table.Learn(Frame(from: 1), 3, TimeSpan.Zero);
        Assert.Equal(3, table.Find(Frame(to: 1), TimeSpan.Zero));

        // A guest that was migrated.
        table.Learn(Frame(from: 1), 4, TimeSpan.FromSeconds(1));
        Assert.Equal(4, table.Find(Frame(to: 1), TimeSpan.FromSeconds(2)));
        table.Forget(4);
        Assert.Null(table.Find(Frame(to: 1), TimeSpan.FromSeconds(2)));
    }

    [Fact]
    public void An_address_that_is_not_seen_any_more_ages()
    {
        var table = new MacTable(16, Lifetime);
        table.Learn(Frame(from: 1), 3, TimeSpan.Zero);
        Assert.Equal(3, table.Find(Frame(to: 1), Lifetime));
        Assert.Null(table.Find(Frame(to: 1), Lifetime + TimeSpan.FromTicks(1)));
    }

    [Fact]
    public void Groups_go_to_all_peers_and_are_never_learned()
    {
        var table = new MacTable(16, Lifetime);
        byte[] frame = Frame(from: 1, to: 2);
        frame[6] |= 1;
        table.Learn(frame, 3, TimeSpan.Zero);
        Assert.Equal(0, table.Count);
        frame.AsSpan(0, 6).Fill(0xFF);
        Assert.Null(table.Find(frame, TimeSpan.Zero));
    }

    [Fact]
    public void A_flood_of_addresses_takes_no_more_room_than_allowed()
    {
        var table = new MacTable(16, Lifetime);
        for (int i = 0; i < 100; i++)
        {
            table.Learn(Frame(from: i), 3, TimeSpan.Zero);
        }

        Assert.Equal(16, table.Count);
        Assert.Null(table.Find(Frame(to: 50), TimeSpan.Zero));

        // What was known goes on, and the aged ones make room.
        table.Learn(Frame(from: 2), 4, Lifetime);
        table.Learn(Frame(from: 50), 5, Lifetime + TimeSpan.FromSeconds(1));
        Assert.Equal(4, table.Find(Frame(to: 2), Lifetime));
        Assert.Equal(5, table.Find(Frame(to: 50), Lifetime + TimeSpan.FromSeconds(1)));
        Assert.Equal(2, table.Count);
    }

    private static byte[] Frame(int from = 0, int to = 0)
    {
        byte[] frame = new byte[FrameBatch.MinFrame];
        frame[0] = frame[6] = 0x02;
        (frame[4], frame[5]) = ((byte)(to >> 8), (byte)to);
        (frame[10], frame[11]) = ((byte)(from >> 8), (byte)from);
        return frame;
    }
}
