using XenTwoLevelCkpt.Hypervisor.Model;
using XenTwoLevelCkpt.NativeInterop.Memory;
using Xunit;

namespace XenTwoLevelCkpt.Hypervisor.Tests;

/// <summary>A log is known by its marks, at whichever hypercall another program comes between.</summary>
public sealed class OwnedLogTests : IDisposable
{
    private readonly ModelHypervisor _model = new();
    private readonly ModelGuest _guest;
    private readonly IDomain _domain;

    public OwnedLogTests()
    {
        _guest = _model.CreateDomain(
            new ModelDomainOptions { Name = "guest", MemoryPages = 512, Workload = new StepperWorkload(1, 100, 8) });
        _domain = _model.OpenDomain(_guest.Uuid);
    }

    public void Dispose()
    {
        _domain.Dispose();
        _model.Dispose();
    }

    /// <summary>The whole of what the other program reads from its takeover on is what the guest wrote since, whichever
    /// operation of ours it comes before.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_takeover_before_any_operation_loses_nothing_of_the_other_program(bool final)
    {
        for (int at = 1; ; at++)
        {
            int operations = 0;
            bool taken = false;
            using IDirtyLog log = _domain.StartDirtyLog();
            _guest.LogWatch = _ =>
            {
                if (++operations == at)
                {
                    _guest.LogWatch = null;
                    taken = true;
                    _guest.TakeOverDirtyLog();
                    _guest.Step(3);
                }
            };
            bool lost = false;
            try
            {
                _ = log.Clean(final);
            }
            catch (DirtyLogLostException)
            {
                lost = true;
            }

            _guest.LogWatch = null;
            if (!taken)
            {
                Assert.InRange(at, 2, 4);
                return;
            }

            // Three steps write at most 24 pages and the header; the marks are three.
            Assert.True(lost, $"not noticed before operation {at}");
            int found = Thief(ShadowOp.Clean);
            Assert.InRange(found, 10, 28);
            _guest.EndTakeover();
        }
    }

    /// <summary>Whatever the other program has done since: cleared its log, or switched it off.</summary>
    [Theory]
    [InlineData(ShadowOp.Clean)]
    [InlineData(ShadowOp.Off)]
    [InlineData(ShadowOp.Peek)]
    public void A_takeover_between_two_readings_is_found_out(ShadowOp then)
    {
        IDirtyLog log = _domain.StartDirtyLog();
        _guest.Step(2);
        _ = log.Clean();
        _guest.TakeOverDirtyLog();
        _guest.Step(2);
        _ = Thief(then);
        _guest.Step(2);
        int before = Thief(ShadowOp.Peek);
        Assert.Throws<DirtyLogLostException>(() => log.Clean());
        log.Dispose();
        Assert.Equal(before, Thief(ShadowOp.Peek));
        Assert.Equal(then == ShadowOp.Off ? 0 : -22, _guest.ShadowControl(ShadowOp.EnableLogDirty));
    }

    /// <summary>A guest that writes all of low memory itself, as a unikernel may: the page that it never sees tells.</summary>
    [Fact]
    public void A_guest_that_writes_the_marks_does_not_hide_a_takeover()
    {
        using IDirtyLog log = _domain.StartDirtyLog();
        _guest.TakeOverDirtyLog();
        _guest.Map(0, MappingOwner.Backend).Dispose();
        _guest.Map(1, MappingOwner.Backend).Dispose();
        _guest.Step(3);
        int before = Thief(ShadowOp.Peek);
        Assert.Throws<DirtyLogLostException>(() => log.Clean());
        Assert.Equal(before, Thief(ShadowOp.Peek));
    }

    [Fact]
    public void What_the_guest_writes_to_the_marks_is_seen()
    {
        using IDirtyLog log = _domain.StartDirtyLog();
        _ = log.Clean();
        _guest.Map(1, MappingOwner.Backend).Dispose();
        Assert.True(log.Clean()[1]);
    }

    [Fact]
    public void A_log_left_on_is_switched_off_and_a_migrations_is_not()
    {
        _ = _domain.StartDirtyLog();
        Assert.True(_domain.StopDirtyLog());
        Assert.False(_domain.StopDirtyLog());

        // As by a process that was killed between a CLEAN and its marks.
        _ = _domain.StartDirtyLog();
        _ = Thief(ShadowOp.Clean);
        Assert.True(_domain.StopDirtyLog());

        _ = _domain.StartDirtyLog();
        _guest.TakeOverDirtyLog();
        Assert.False(_domain.StopDirtyLog());
        Assert.Equal(-22, _guest.ShadowControl(ShadowOp.EnableLogDirty));
        _guest.EndTakeover();
        Assert.False(_domain.StopDirtyLog());
    }

    [Fact]
    public void A_log_follows_a_guest_that_grows()
    {
        ModelGuest guest = _model.CreateDomain(new ModelDomainOptions
        {
            Name = "grows",
            Kind = GuestKind.Pv,
            MemoryPages = 100,
            GrowsToPages = 300,
        });
        using IDomain domain = _model.OpenDomain(guest.Uuid);
        using IDirtyLog log = domain.StartDirtyLog();
        Assert.Equal(100, log.PfnCount);
        Assert.True(guest.Populate(250));
        guest.Map(250, MappingOwner.Backend).Dispose();
        Assert.Equal(251, domain.GetPfnCount());
        Assert.True(log.Clean()[250]);
        Assert.Equal(251, log.PfnCount);
        Assert.True(guest.Unpopulate(250));
        Assert.Equal(100, domain.GetPfnCount());
        Assert.Equal(251, log.Clean().PfnCount);
    }

    private int Thief(ShadowOp op)
    {
        ulong[] words = new ulong[DirtyBitmap.WordsFor(_guest.PfnCount)];
        _ = _guest.ShadowControl(op, words);
        return words.Sum(w => System.Numerics.BitOperations.PopCount(w));
    }
}
