using System.Buffers.Binary;
using XenTwoLevelCkpt.Hypervisor.Model;
using Xunit;

namespace XenTwoLevelCkpt.Channels.Tests;

/// <summary>The uplink of a model's guests.</summary>
public sealed class UplinkTests
{
    private static readonly Guid Here = new("11111111-1111-1111-1111-111111111111");
    private static readonly Guid There = new("22222222-2222-2222-2222-222222222222");

    [Fact]
    public void Messages_of_the_node_stay_and_others_leave_as_frames_of_the_guests_addresses()
    {
        using var here = new GuestNetworkUplink();
        using var there = new GuestNetworkUplink();
        here.Attach(Here);
        there.Attach(There);
        here.Send(There, Here, [1, 2, 3]);
        Assert.Equal(0, here.Leaving);
        Assert.True(here.TryReceive(Here, new byte[3], out int length));
        Assert.Equal(3, length);

        here.Send(Here, There, [4, 5]);
        Assert.True(here.Wait(TimeSpan.Zero));
        byte[] frame = new byte[FrameBatch.MaxFrame];
        length = here.Read(frame);
        Assert.Equal(0, here.Read(frame.AsSpan(length)));
        Assert.False(here.Wait(TimeSpan.Zero));
        byte[] addresses = new byte[12];
        GuestNetworkUplink.AddressOf(There, addresses);
        GuestNetworkUplink.AddressOf(Here, addresses.AsSpan(6));
        Assert.Equal(addresses, frame[..12]);
        Assert.Equal(0x02, frame[0] & 0x03);
        Assert.Equal(0x88B5, BinaryPrimitives.ReadUInt16BigEndian(frame.AsSpan(12)));

        // A frame that was flooded is for the node that has the guest.
        here.Write(frame.AsSpan(0, length));
        Assert.Empty(here.Local.InFlight(There));
        there.Write(frame.AsSpan(0, length));
        Assert.Equal([4, 5], Assert.Single(there.Local.InFlight(There)).ToArray());

        // Whatever it is, it is not for these guests.
        for (int cut = 0; cut < length; cut++)
        {
            there.Write(frame.AsSpan(0, cut));
        }

        _ = Assert.Single(there.Local.InFlight(There));
    }

    [Fact]
    public void What_was_given_and_not_taken_goes_back_with_the_checkpoint()
    {
        using var uplink = new GuestNetworkUplink();
        uplink.Attach(Here);
        uplink.Attach(There);
        uplink.Send(Here, There, [1]);
        uplink.Send(There, Here, [2, 2]);
        uplink.Send(Here, There, [3]);
        byte[] saved = uplink.Save();
        Assert.True(uplink.TryReceive(There, new byte[1], out _));
        uplink.Send(Here, Guid.NewGuid(), [9]);
        uplink.Send(Here, There, [4]);
        uplink.Restore(saved);
        Assert.Equal(0, uplink.Leaving);
        Assert.Equal([[1], [3]], uplink.Local.InFlight(There).Select(m => m.ToArray()));
        Assert.Equal([[2, 2]], uplink.Local.InFlight(Here).Select(m => m.ToArray()));
        uplink.Restore([]);
        Assert.Empty(uplink.Local.InFlight(There));
        for (int cut = 1; cut <= 20; cut++)
        {
            byte[] first = saved[..cut];
            Assert.Throws<InvalidDataException>(() => uplink.Restore(first));
        }
    }

    [Fact]
    public void A_guest_of_the_model_sends_to_another_node()
    {
        using var uplink = new GuestNetworkUplink();
        using var hypervisor = new ModelHypervisor(uplink);
        ModelGuest guest = hypervisor.CreateDomain(new ModelDomainOptions
        {
            Name = "bank",
            Uuid = Here,
            Workload = new BankWorkload(1, 16, 1000, There),
        });
        uplink.Attach(guest.Uuid);
        hypervisor.Advance(10);
        Assert.Equal(10, uplink.Leaving);
    }

    [Fact]
    public async Task A_wait_ends_when_it_is_woken()
    {
        using var uplink = new GuestNetworkUplink();
        uplink.Wake();
        Assert.False(uplink.Wait(Timeout.InfiniteTimeSpan));
        var waiting = Task.Run(() => uplink.Wait(Timeout.InfiniteTimeSpan));
        uplink.Wake();
        Assert.False(await waiting);
    }
}
