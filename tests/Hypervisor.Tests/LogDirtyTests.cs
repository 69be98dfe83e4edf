using XenTwoLevelCkpt.Hypervisor.Model;
using Xunit;

namespace XenTwoLevelCkpt.Hypervisor.Tests;

/// <summary>Log-dirty mode as Xen's paging code has it, its holes included.</summary>
public sealed class LogDirtyTests : IDisposable
{
    private const long Page = 1000;
    private const int EINVAL = 22;
    private const int ESRCH = 3;

    private readonly ModelHypervisor _model = new();
    private readonly TouchWorkload _program = new();
    private readonly ModelGuest _guest;
    private readonly IDomain _domain;
    private readonly ulong[] _bitmap;

    public LogDirtyTests()
    {
        _guest = _model.CreateDomain(new ModelDomainOptions { Name = "guest", Workload = _program });
        _domain = _model.OpenDomain(_guest.Uuid);
        _bitmap = new ulong[(_guest.PfnCount + 63) / 64];
    }

    public void Dispose()
    {
        _domain.Dispose();
        _model.Dispose();
    }

    [Fact]
    public void A_small_pvh_guest_has_its_special_pages_under_four_gib()
    {
        Assert.Equal(1_044_480, _domain.GetPfnCount());
        Assert.Equal(ModelDomainOptions.DefaultMemoryPages + 8, _domain.GetInfo().MemoryPages);
        var types = new PageType[10];
        _domain.GetPageTypes(1_044_480 - 9, types);
        Assert.Equal(
            [PageType.Unpopulated, .. Enumerable.Repeat(PageType.Normal, 8), PageType.Unpopulated], types);
    }

    [Fact]
    public void Exactly_the_pages_written_are_dirty()
    {
        using IDirtyLog log = _domain.StartDirtyLog();
        foreach (long pfn in (long[])[2, 63, 64, 65, Page])
        {
            Touch(pfn);
        }

        Assert.Equal([2, 63, 64, 65, Page], Dirty(log.Clean().Words));
        Touch(64);
        Assert.Equal([64], Dirty(log.Clean().Words));
        Assert.Empty(Dirty(log.Clean().Words));
    }

    [Fact]
    public void Enable_fails_in_log_dirty_mode_and_off_ends_the_mode_of_any_owner()
    {
        Assert.Equal(0, _guest.ShadowControl(ShadowOp.EnableLogDirty));
        Assert.Equal(-EINVAL, _guest.ShadowControl(ShadowOp.EnableLogDirty));
        Assert.Throws<DirtyLogBusyException>(_domain.StartDirtyLog);
        Assert.Equal(0, _guest.ShadowControl(ShadowOp.Off));
        Assert.Equal(0, _guest.ShadowControl(ShadowOp.Off));
        using IDirtyLog log = _domain.StartDirtyLog();
        Assert.Empty(Dirty(log.Peek().Words));
    }

    [Theory]
    [InlineData(ShadowOp.Clean)]
    [InlineData(ShadowOp.Peek)]
    public void Reading_the_bitmap_after_off_succeeds_with_an_empty_one(ShadowOp op)
    {
        _guest.ShadowControl(ShadowOp.EnableLogDirty);
        Touch(Page);
        _guest.ShadowControl(ShadowOp.Off);
        Touch(Page);
        _bitmap.AsSpan().Fill(ulong.MaxValue);

        Assert.Equal(0, _guest.ShadowControl(op, _bitmap));
        Assert.Empty(Dirty(_bitmap));
    }

    [Fact]
    public void Operations_on_a_destroyed_domain_find_none()
    {
        _guest.Destroy();
        Assert.Equal(-ESRCH, _guest.ShadowControl(ShadowOp.EnableLogDirty));
        Assert.Equal(-ESRCH, _guest.ShadowControl(ShadowOp.Clean, _bitmap));
    }

    [Fact]
    public void Changes_of_the_physical_map_leave_no_trace()
    {
        using IDirtyLog log = _domain.StartDirtyLog();
        Assert.True(_guest.Unpopulate(Page));
        Assert.Empty(Dirty(log.Peek().Words));
        Assert.Equal(PageType.Unpopulated, TypeOf(Page));

        Assert.True(_guest.Populate(Page));
        Assert.Empty(Dirty(log.Peek().Words));
        Assert.Equal(PageType.Normal, TypeOf(Page));
    }

    [Fact]
    public void A_page_ballooned_out_and_in_again_is_zero_and_nothing_tells()
    {
        Touch(Page);
        Assert.NotEqual(0, Copy(Page)[0]);
        using IDirtyLog log = _domain.StartDirtyLog();
        _guest.Unpopulate(Page);
        _guest.Populate(Page);

        Assert.Equal(0, Copy(Page)[0]);
        Assert.Empty(Dirty(log.Clean(final: true).Words));
        Assert.Equal(PageType.Normal, TypeOf(Page));
    }

    [Fact]
    public void Writes_to_a_page_new_in_the_map_are_logged_from_the_next_clean_on()
    {
        using IDirtyLog log = _domain.StartDirtyLog();
        _guest.Unpopulate(Page);
        _guest.Populate(Page);
        Touch(Page);
        Assert.Empty(Dirty(log.Peek().Words));
        Touch(Page);
        Assert.Empty(Dirty(log.Clean().Words));

        Touch(Page);
        Assert.Equal([Page], Dirty(log.Clean().Words));
    }

    [Fact]
    public void Writes_to_a_page_new_to_a_pv_guest_are_logged()
    {
        var program = new TouchWorkload();
        ModelGuest guest = _model.CreateDomain(
            new ModelDomainOptions { Name = "pv", Kind = GuestKind.Pv, Workload = program });
        using IDomain domain = _model.OpenDomain(guest.Uuid);
        using IDirtyLog log = domain.StartDirtyLog();
        guest.Unpopulate(Page);
        guest.Populate(Page);
        Assert.Empty(Dirty(log.Peek().Words));

        program.Pfn = Page;
        guest.Step();
        Assert.Equal([Page], Dirty(log.Peek().Words));
    }

    [Theory]
    [InlineData(MappingOwner.Hypervisor, true)]
    [InlineData(MappingOwner.Backend, false)]
    public void Xens_final_adds_its_own_mappings_and_no_grants(MappingOwner owner, bool marked)
    {
        _guest.ShadowControl(ShadowOp.EnableLogDirty);
        using WritableMapping mapping = _guest.Map(Page, owner);
        mapping.Write(8, [1, 2, 3]);
        Assert.Equal([1, 2, 3], Copy(Page)[8..11]);

        _guest.ShadowControl(ShadowOp.Clean, _bitmap);
        Assert.Empty(Dirty(_bitmap));
        _guest.ShadowControl(ShadowOp.Clean, _bitmap, final: true);
        Assert.Equal(marked ? [Page] : [], Dirty(_bitmap));
    }

    [Theory]
    [InlineData(MappingOwner.Hypervisor, true)]
    [InlineData(MappingOwner.Backend, false)]
    public void A_final_clean_of_a_log_adds_what_xens_final_adds(MappingOwner owner, bool marked)
    {
        using IDirtyLog log = _domain.StartDirtyLog();
        WritableMapping mapping = _guest.Map(Page, owner);
        mapping.Write(0, [1]);
        Assert.Empty(Dirty(log.Clean().Words));
        Assert.Equal(marked ? [Page] : [], Dirty(log.Clean(final: true).Words));
        Assert.Equal(marked ? [Page] : [], Dirty(log.Clean(final: true).Words));

        mapping.Dispose();
        Assert.Equal([Page], Dirty(log.Clean().Words));
        Assert.Empty(Dirty(log.Clean(final: true).Words));
    }

    [Fact]
    public void A_save_by_another_program_ends_log_dirty_mode()
    {
        _guest.ShadowControl(ShadowOp.EnableLogDirty);
        Touch(Page);
        _guest.StealDirtyLog();
        Touch(Page);

        Assert.Equal(0, _guest.ShadowControl(ShadowOp.Clean, _bitmap));
        Assert.Empty(Dirty(_bitmap));
        Assert.Equal(0, _guest.ShadowControl(ShadowOp.EnableLogDirty));
    }

    [Fact]
    public void A_broken_page_has_a_type_and_no_contents()
    {
        Touch(Page);
        _guest.SetPageType(Page, PageType.Broken);
        var unread = new List<long>();

        Assert.Equal(PageType.Broken, TypeOf(Page));
        Assert.Equal(0, _domain.CopyPages([new(Page, 1)], new byte[ModelGuest.PageSize], unread));
        Assert.Equal([Page], unread);
    }

    [Fact]
    public void A_write_to_an_unpopulated_page_crashes_the_guest()
    {
        _guest.Unpopulate(Page);
        _program.Pfn = Page;
        Assert.Equal(0, _guest.Step());
        Assert.Equal(ShutdownReason.Crash, _domain.GetInfo().ShutdownReason);
    }

    // Without the pages by which a log is known.
    private static List<long> Dirty(ReadOnlySpan<ulong> words)
    {
        var pfns = new List<long>();
        for (int bit = 0; bit < words.Length * 64; bit++)
        {
            if ((words[bit >> 6] >> (bit & 63) & 1) != 0)
            {
                pfns.Add(bit);
            }
        }

        pfns.RemoveAll(ModelShadowLog.Marks.Contains);
        return pfns;
    }

    private void Touch(long pfn)
    {
        _program.Pfn = pfn;
        Assert.Equal(1, _guest.Step());
    }

    private PageType TypeOf(long pfn)
    {
        var type = new PageType[1];
        _domain.GetPageTypes(pfn, type);
        return type[0];
    }

    private byte[] Copy(long pfn)
    {
        byte[] page = new byte[ModelGuest.PageSize];
        Assert.Equal(1, _domain.CopyPages([new(pfn, 1)], page, new List<long>()));
        return page;
    }

    /// <summary>Writes one page a step: the one that the test names.</summary>
    private sealed class TouchWorkload : IWorkload
    {
        internal long Pfn { get; set; }

        public void Boot(ModelVcpu vcpu)
        {
        }

        public void Step(ModelVcpu vcpu) => vcpu.WritePage(Pfn)[0]++;
    }
}
