using Xunit;

namespace XenTwoLevelCkpt.Hypervisor.Conformance;

/// <summary>Listing and opening domains.</summary>
public abstract class ListingConformance : ConformanceFacts
{
    [Fact]
    public void The_hypervisor_names_itself()
    {
        Assert.NotEmpty(Hypervisor.Info.Name);
        Assert.NotEmpty(Hypervisor.Info.Version);
    }

    [Fact]
    public void The_list_is_ordered_by_id_and_begins_with_the_control_domain()
    {
        IReadOnlyList<DomainInfo> domains = Hypervisor.ListDomains();

        Assert.Equal(0, domains[0].Id);
        Assert.Equal(Guid.Empty, domains[0].Uuid);
        Assert.Equal(domains.Select(static d => d.Id).Distinct().Order(), domains.Select(static d => d.Id));
    }

    [Fact]
    public void The_list_contains_the_guest_as_its_handle_describes_it()
    {
        DomainInfo listed = Assert.Single(Hypervisor.ListDomains(), d => d.Uuid == Target.GuestUuid);
        DomainInfo info = Domain.GetInfo();

        Assert.Equal(Target.GuestUuid, Domain.Uuid);
        Assert.Equal((Domain.Id, Domain.Uuid, Domain.Kind), (info.Id, info.Uuid, info.Kind));
        Assert.Equal(
            (info.Id, info.Name, info.Kind, info.MaxMemoryPages, info.Vcpus),
            (listed.Id, listed.Name, listed.Kind, listed.MaxMemoryPages, listed.Vcpus));
        Assert.True(info.Id > 0);
        Assert.True(info.Vcpus > 0);
        Assert.InRange(info.MemoryPages, 1, info.MaxMemoryPages);
    }

    [Fact]
    public async Task A_running_guest_is_in_a_running_state_and_uses_cpu_time()
    {
        DomainInfo before = Domain.GetInfo();
        await LetRunAsync();
        DomainInfo after = Domain.GetInfo();

        Assert.False(after.State.HasFlag(DomainStates.Shutdown) || after.State.HasFlag(DomainStates.Dying));
        Assert.Null(after.ShutdownReason);
        Assert.True(after.CpuTime > before.CpuTime);
    }

    [Fact]
    public void Opening_an_unknown_domain_fails()
    {
        var unknown = Guid.NewGuid();

        var e = Assert.Throws<DomainNotFoundException>(() => Hypervisor.OpenDomain(unknown));
        Assert.Equal(unknown, Guid.Parse(e.Domain));
    }

    [Fact]
    public void The_control_domain_cannot_be_opened() =>
        Assert.Throws<DomainNotFoundException>(() => Hypervisor.OpenDomain(Guid.Empty));

    [Fact]
    public async Task Closing_one_handle_leaves_the_guest_and_other_handles_alone()
    {
        IDomain second = Hypervisor.OpenDomain(Target.GuestUuid);
        Assert.Equal(Domain.Id, second.Id);
        second.Dispose();

        Assert.Throws<ObjectDisposedException>(second.GetInfo);
        Assert.Equal(Target.GuestUuid, Domain.GetInfo().Uuid);
        await LetRunAsync();
    }
}
