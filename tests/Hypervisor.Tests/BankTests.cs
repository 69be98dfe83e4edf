using XenTwoLevelCkpt.Hypervisor.Model;
using Xunit;

namespace XenTwoLevelCkpt.Hypervisor.Tests;

public sealed class BankTests
{
    private const int Accounts = 1000;
    private const ulong Balance = 1000;

    // Without a pace, what is sent to a guest that gets no processor for a while piles up faster than it ever takes it.
    private const int StepsPerSecond = 2000;

    private static readonly Guid[] Uuids = [.. Enumerable.Range(1, 3).Select(i => new Guid(i, 0, 0, new byte[8]))];

    private readonly LocalGuestNetwork _network = new();

    [Fact]
    public void Balances_and_money_in_flight_never_change()
    {
        using var model = new ModelHypervisor(_network);
        ModelGuest[] guests = [.. Enumerable.Range(0, 3).Select(i => Create(model, i))];
        for (int i = 0; i < 200; i++)
        {
            model.Advance();
            Assert.Equal(3 * Accounts * Balance, Total(guests));
        }

        Assert.All(guests, static guest => Assert.True(BankWorkload.Turnover(guest.View).Sent > 0));
        Assert.Equal(
            guests.Aggregate(0UL, static (sum, guest) => sum + BankWorkload.Turnover(guest.View).Sent),
            guests.Aggregate(InFlight(), static (sum, guest) => sum + BankWorkload.Turnover(guest.View).Received));
    }

    [Fact]
    public void One_bank_stopped_leaves_money_in_flight()
    {
        using var model = new ModelHypervisor(_network);
        ModelGuest[] guests = [.. Enumerable.Range(0, 3).Select(i => Create(model, i))];
        guests[2].Pause();
        model.Advance(100);

        Assert.True(BankWorkload.MoneyInFlight(_network, Uuids[2]) > 0);
        Assert.Equal(3 * Accounts * Balance, Total(guests));
    }

    [Fact(Timeout = 300_000)]
    public async Task Banks_of_two_nodes_in_the_background_keep_the_sum()
    {
        using var left = new ModelHypervisor(_network);
        using var right = new ModelHypervisor(_network);
        ModelGuest[] guests = [Create(left, 0), Create(left, 1), Create(right, 2)];
        left.Start(StepsPerSecond);
        right.Start(StepsPerSecond);
        for (int round = 0; round < 5; round++)
        {
            long until = guests.Max(static guest => guest.Steps) + 100;
            while (guests.Any(guest => guest.Steps < until))
            {
                await Task.Delay(1, TestContext.Current.CancellationToken);
            }

            IDomain[] domains = [.. guests.Take(2).Select(g => left.OpenDomain(g.Uuid)), right.OpenDomain(Uuids[2])];
            await Task.WhenAll(domains.Select(
                static domain => domain.SuspendAsync(
                    TimeSpan.FromMinutes(3), TestContext.Current.CancellationToken)));
            Assert.Equal(3 * Accounts * Balance, Total(guests));
            Array.ForEach(domains, static domain => domain.Resume());
        }
    }

    [Fact]
    public async Task A_restored_bank_with_its_channel_keeps_the_sum()
    {
        using var model = new ModelHypervisor(_network);
        ModelGuest[] guests = [.. Enumerable.Range(0, 3).Select(i => Create(model, i))];
        model.Advance(50);
        var images = new List<GuestImage>();
        foreach (ModelGuest guest in guests)
        {
            using IDomain domain = model.OpenDomain(guest.Uuid);
            await domain.SuspendAsync(TimeSpan.FromMinutes(3), TestContext.Current.CancellationToken);
            images.Add(GuestImage.Take(guest, domain));
        }

        var network = new LocalGuestNetwork();
        foreach (Guid uuid in Uuids)
        {
            network.Restore(uuid, _network.InFlight(uuid));
        }

        using var elsewhere = new ModelHypervisor(network);
        ModelGuest[] restored = [.. images.Select(image => image.RestoreInto(elsewhere))];
        elsewhere.Advance(50);

        Assert.Equal(
            3 * Accounts * Balance,
            restored.Aggregate(0UL, static (sum, guest) => sum + BankWorkload.Money(guest.View))
            + Uuids.Aggregate(0UL, (sum, uuid) => sum + BankWorkload.MoneyInFlight(network, uuid)));
        Assert.All(restored, static guest => Assert.Equal(100, guest.Steps));
    }

    [Fact]
    public void A_bank_without_peers_moves_money_between_its_accounts()
    {
        using var model = new ModelHypervisor(_network);
        ModelGuest guest = model.CreateDomain(new ModelDomainOptions
        {
            Name = "alone",
            Workload = new BankWorkload(seed: 3, accounts: 10, balance: 100),
        });
        byte[] before = guest.View.ReadPage(17).ToArray();
        guest.Step(100);

        Assert.NotEqual(before, guest.View.ReadPage(17).ToArray());
        Assert.Equal(1000UL, BankWorkload.Money(guest.View));
    }

    private static ModelGuest Create(ModelHypervisor model, int index) =>
        model.CreateDomain(new ModelDomainOptions
        {
            Name = $"bank{index}",
            Uuid = Uuids[index],
            MemoryPages = 64,
            DiskBlocks = 0,
            Workload = new BankWorkload(
                (ulong)index, Accounts, Balance, [.. Uuids.Where((_, i) => i != index)]),
        });

    private ulong InFlight() =>
        Uuids.Aggregate(0UL, (sum, uuid) => sum + BankWorkload.MoneyInFlight(_network, uuid));

    private ulong Total(ModelGuest[] guests) =>
        guests.Aggregate(InFlight(), static (sum, guest) => sum + BankWorkload.Money(guest.View));
}
