using System.Diagnostics;
using System.Text;
using System.Text.RegularExpressions;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Hypervisor.Conformance;
using XenTwoLevelCkpt.Hypervisor.Xen;
using XenTwoLevelCkpt.NativeInterop.Memory;
using XenTwoLevelCkpt.NativeInterop.Xen;

namespace XenTwoLevelCkpt.Dom0Tests;

/// <summary>A stepper on this Xen host. Its steps are read from its console, as <c>xenconsoled</c> logs it.</summary>
internal sealed partial class XenTarget : IConformanceTarget
{
    /// <summary>Enough for the last step's line, however much the kernel printed behind it.</summary>
    private const int TailBytes = 16384;

    private readonly string _log;
    private readonly XenInterface _xen = XenInterface.Open();

    private XenTarget(string name)
    {
        Hypervisor = XenHypervisor.Open();
        GuestUuid = Hypervisor.FindDomain(name).Uuid;
        _log = $"/var/log/xen/console/guest-{name}.log";
    }

    public IHypervisor Hypervisor { get; }

    public Guid GuestUuid { get; }

    public TimeSpan SuspendTimeout => TimeSpan.FromMinutes(5);

    /// <summary>The backends of a guest's console, store, disk and network write their rings while the guest is
    /// suspended, through mappings that Xen does not log until they are unmapped (docs/architecture.md). A restored
    /// guest gets all of these rings anew.</summary>
    public Allowances Allowances { get; } = new(ResidualDirty: 11, Unlogged: 8, Unreadable: 0, ClockBytes: 64);

    private uint Domid => (uint)Hypervisor.ListDomains().Single(d => d.Uuid == GuestUuid).Id;

    public long Progress
    {
        get
        {
            long steps = LastStep();
            if (!Hypervisor.ListDomains().Single(d => d.Uuid == GuestUuid).State.HasFlag(DomainStates.Shutdown))
            {
                return steps;
            }

            // What the guest printed before it was suspended is in the ring still, until xenconsoled has fetched it.
            while (true)
            {
                Thread.Sleep(3000);
                long later = LastStep();
                if (later == steps)
                {
                    return steps;
                }

                steps = later;
            }
        }
    }

    public static Task<IConformanceTarget> PvhAsync() => Create("XTL_PVH_GUEST");

    public static Task<IConformanceTarget> PvAsync() => Create("XTL_PV_GUEST");

    public async Task LetRunAsync(CancellationToken cancellationToken)
    {
        // The step under way may have written all its pages before; the one behind it is a whole one.
        long target = LastStep() + 2;
        long start = Stopwatch.GetTimestamp();
        while (LastStep() < target)
        {
            if (Stopwatch.GetElapsedTime(start) > TimeSpan.FromMinutes(5))
            {
                throw new TimeoutException($"The guest does not run: {_log} ends with step {LastStep()}.");
            }

            await Task.Delay(50, cancellationToken);
        }
    }

    public void AskFromOutside()
    {
        int domid = Hypervisor.ListDomains().Single(d => d.Uuid == GuestUuid).Id;
        using Process write = Process.Start("xenstore-write", [$"/local/domain/{domid}/control/shutdown", "suspend"]);
        write.WaitForExit();
        Assert.Equal(0, write.ExitCode);
    }

    public ValueTask DisposeAsync()
    {
        Hypervisor.Dispose();
        _xen.Dispose();
        return ValueTask.CompletedTask;
    }

    public void TakeLogOver()
    {
        if (!_xen.TryEnableLogDirty(Domid))
        {
            _xen.DisableLogDirty(Domid);
            Assert.True(_xen.TryEnableLogDirty(Domid));
        }
    }

    public ulong[] ReadTakenLog(bool clean)
    {
        long pages = _xen.GetPfnCount(Domid);
        using var buffer = new HypercallBuffer(_xen, DirtyBitmap.WordsFor(pages) * sizeof(ulong));
        _ = _xen.ReadLogDirty(Domid, buffer, (ulong)pages, clean, final: false, out _);
        return buffer.Words[..DirtyBitmap.WordsFor(pages)].ToArray();
    }

    public void EndTakeover() => _xen.DisableLogDirty(Domid);

    private static Task<IConformanceTarget> Create(string variable) => Task.FromResult<IConformanceTarget>(new XenTarget(
        Environment.GetEnvironmentVariable(variable)
        ?? throw new InvalidOperationException($"{variable} names the guest to run on.")));

    private long LastStep()
    {
        using FileStream file = new(_log, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        file.Seek(-Math.Min(TailBytes, file.Length), SeekOrigin.End);
        byte[] tail = new byte[TailBytes];
        int length = file.ReadAtLeast(tail, tail.Length, throwOnEndOfStream: false);
        MatchCollection steps = StepLine().Matches(Encoding.ASCII.GetString(tail, 0, length));
        return steps.Count == 0 ? 0 : long.Parse(steps[^1].Groups[1].Value);
    }

    [GeneratedRegex(@"^step (\d+) hash [0-9a-f]{16} pages \d+ ms \d+\r?$", RegexOptions.Multiline)]
    private static partial Regex StepLine();
}
