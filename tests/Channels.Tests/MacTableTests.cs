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
    public void A_flood_of_addresses_displaces_the_oldest_behind_its_own_peer_and_no_others()
    {
        var table = new MacTable(16, Lifetime);
        table.Learn(Frame(from: 1000), 4, TimeSpan.Zero);
        for (int i = 0; i < 100; i++)
        {
            table.Learn(Frame(from: i), 3, TimeSpan.FromMilliseconds(i));

            // One that speaks all the time.
            table.Learn(Frame(from: 2000), 3, TimeSpan.FromMilliseconds(i));
        }

        Assert.Equal(17, table.Count);
        TimeSpan now = TimeSpan.FromMilliseconds(100);
        Assert.Equal(4, table.Find(Frame(to: 1000), now));
        Assert.Equal(3, table.Find(Frame(to: 2000), now));
        Assert.Equal(3, table.Find(Frame(to: 99), now));
        Assert.Equal(3, table.Find(Frame(to: 85), now));
        Assert.Null(table.Find(Frame(to: 84), now));
    }

    [Fact]
    public void An_address_that_moves_leaves_its_room_behind()
    {
        var table = new MacTable(2, Lifetime);
        table.Learn(Frame(from: 1), 3, TimeSpan.Zero);
        table.Learn(Frame(from: 2), 3, TimeSpan.Zero);
        table.Learn(Frame(from: 1), 4, TimeSpan.Zero);
        table.Learn(Frame(from: 3), 3, TimeSpan.Zero);
        Assert.Equal(3, table.Count);
        Assert.Equal(4, table.Find(Frame(to: 1), TimeSpan.Zero));
        Assert.Equal(3, table.Find(Frame(to: 2), TimeSpan.Zero));

        // A full peer takes one over from another.
        table.Learn(Frame(from: 1), 3, TimeSpan.Zero);
        Assert.Equal(2, table.Count);
        Assert.Null(table.Find(Frame(to: 2), TimeSpan.Zero));
        table.Forget(4);
        Assert.Equal(3, table.Find(Frame(to: 1), TimeSpan.Zero));
    }

    // What is learned and found is what a list of all that was seen tells.
    [Fact]
    public void It_agrees_with_a_plain_list()
    {
        var random = new Random(4711);
        var table = new MacTable(4, Lifetime);
        var seen = new List<(int Address, int Peer)>();
        for (int i = 0; i < 20_000; i++)
        {
            int address = random.Next(30), peer = random.Next(3);
            if (random.Next(50) == 0)
            {
                table.Forget(peer);
                _ = seen.RemoveAll(s => s.Peer == peer);
            }
            else
            {
                table.Learn(Frame(from: address), peer, TimeSpan.Zero);
                _ = seen.RemoveAll(s => s.Address == address);
                seen.Add((address, peer));
                if (seen.Count(s => s.Peer == peer) > 4)
                {
                    seen.RemoveAt(seen.FindIndex(s => s.Peer == peer));
                }
            }

            int asked = random.Next(30);
            Assert.Equal(
                seen.Exists(s => s.Address == asked) ? seen.Find(s => s.Address == asked).Peer : null, table.Find(Frame(to: asked), TimeSpan.Zero));
            Assert.Equal(seen.Count, table.Count);
        }
    }

    [Fact]
    public void A_full_table_allocates_nothing()
    {
        var table = new MacTable(64, Lifetime);
        byte[] frame = Frame();
        Learn(1000);

        // The runtime may allocate while it compiles a method anew; what the table allocates comes in every round.
        Assert.Contains(Enumerable.Range(0, 5), _ =>
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            Learn(10_000);
            return GC.GetAllocatedBytesForCurrentThread() == before;
        });

        void Learn(int count)
        {
            for (int i = 0; i < count; i++)
            {
                (frame[10], frame[11]) = ((byte)(i >> 8), (byte)i);
                table.Learn(frame, 3, TimeSpan.Zero);
            }
        }
    }

    [Theory]
    [InlineData(0x8100)]
    [InlineData(0x88A8)]
    public void The_same_address_in_two_vlans_is_two(int tag)
    {
        var table = new MacTable(16, Lifetime);
        table.Learn(Tagged(Frame(from: 1), 10), 3, TimeSpan.Zero);
        table.Learn(Tagged(Frame(from: 1), 20), 4, TimeSpan.Zero);
        table.Learn(Frame(from: 1), 5, TimeSpan.Zero);
        Assert.Equal(3, table.Find(Tagged(Frame(to: 1), 10), TimeSpan.Zero));
        Assert.Equal(4, table.Find(Tagged(Frame(to: 1), 20), TimeSpan.Zero));
        Assert.Equal(5, table.Find(Frame(to: 1), TimeSpan.Zero));
        Assert.Null(table.Find(Tagged(Frame(to: 1), 30), TimeSpan.Zero));

        // A tag of priority alone is of no VLAN.
        Assert.Equal(5, table.Find(Tagged(Frame(to: 1), 0xE000), TimeSpan.Zero));

        byte[] Tagged(byte[] frame, int vlan) =>
            [.. frame[..12], (byte)(tag >> 8), (byte)tag, (byte)(vlan >> 8), (byte)vlan, .. frame[12..]];
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
