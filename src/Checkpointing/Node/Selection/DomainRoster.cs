using System.Diagnostics;
using System.Runtime.ExceptionServices;
using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Checkpointing.Memory;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Store;

namespace XenTwoLevelCkpt.Checkpointing.Node.Selection;

/// <summary>The domains of the host as checkpoints see them: which take part, and which are left out for what reason.
/// </summary>
/// <remarks>A domain is known by its UUID; one that was destroyed and restored has another id. One thread uses it at a time.
/// </remarks>
/// <param name="hypervisor">Has the domains.</param>
/// <param name="disks">Knows their disks.</param>
/// <param name="options">The operator's settings.</param>
/// <param name="intent">Learns whose dirty logs may be on, before they are.</param>
/// <param name="startMemory">Starts the capture of a domain's memory.</param>
/// <param name="log">Told of domains that came and went.</param>
internal sealed class DomainRoster(
    IHypervisor hypervisor, IDiskProvider disks, NodeOptions options, IntentFile intent,
    Func<IDomain, IMemoryCapture> startMemory, Action<string> log)
{
    private readonly List<DomainCapture> _all = [];
    private readonly List<DomainCapture> _present = [];
    private readonly List<LeftOutDomain> _leftOut = [];
    private CheckpointSettings _settings = new();
    private CheckpointDraft? _draft;
    private Exception? _first;
    private CancellationToken _cancelled;

    /// <summary>All that are followed, also those that are left out for now: their dirty logs are on.</summary>
    internal IReadOnlyList<DomainCapture> All => _all;

    /// <summary>Those that take part in the present attempt.</summary>
    internal IReadOnlyList<DomainCapture> Present => _present;

    /// <summary>Those that do not, by name.</summary>
    internal IReadOnlyList<LeftOutDomain> LeftOut => _leftOut;

    /// <summary>How the domains stand, by UUID: a table that does not change any more. Any thread may read it.</summary>
    internal IReadOnlyDictionary<Guid, DomainCoverage> Coverage { get; private set; } =
        new Dictionary<Guid, DomainCoverage>();

    /// <summary>The configurations of those that take part: a table that does not change any more. Any thread may read it.</summary>
    internal IReadOnlyList<DomainConfiguration> Configurations { get; private set; } = [];

    private static TimeSpan Now => Stopwatch.GetElapsedTime(0);

    /// <summary>Finds out who takes part in a checkpoint.</summary>
    /// <param name="settings">What is different for this checkpoint.</param>
    /// <param name="draft">The open epoch; null where there is none.</param>
    /// <param name="cancellationToken">Gives it up, also while the toolstack does not answer.</param>
    /// <exception cref="CheckpointFailedException">A domain that must not be left out cannot be part of it.</exception>
    /// <exception cref="OperationCanceledException">It was given up.</exception>
    internal void Find(CheckpointSettings settings, CheckpointDraft? draft, CancellationToken cancellationToken)
    {
        (_settings, _draft, _first, _cancelled) = (settings, draft, null, cancellationToken);
        _leftOut.Clear();
        _present.Clear();
        List<DomainInfo> domains = [.. hypervisor.ListDomains(cancellationToken).Where(d => d.Id != 0)];
        DropThoseGone(domains);
        List<DomainInfo> fresh = [];
        foreach (DomainInfo domain in domains.Where(d => !d.State.HasFlag(DomainStates.Dying)))
        {
            if (!IsAsked(domain))
            {
                continue;
            }

            DomainCapture? capture = _all.Find(c => c.Uuid == domain.Uuid && c.Domain.Id == domain.Id);
            if (Obstacle(domain, domains, capture) is { } obstacle)
            {
                Refuse(domain, capture, obstacle.Reason, obstacle.Message);
            }
            else if (capture is null)
            {
                fresh.Add(domain);
            }
            else
            {
                capture.Name = domain.Name ?? capture.Name;
                _present.Add(capture);
            }
        }

        try
        {
            TakeIn(fresh);
        }
        finally
        {
            Publish();
        }
    }

    /// <summary>Compares a domain's devices with what they were, and takes over what changed. Reads its configuration.</summary>
    /// <param name="capture">The domain.</param>
    /// <exception cref="HypervisorException">It has a device that a checkpoint could not hold, or is gone.</exception>
    internal void Refresh(DomainCapture capture)
    {
        DomainConfiguration configuration = capture.Domain.GetConfiguration(_cancelled);
        if (!SameDevices(capture.Configuration, configuration))
        {
            capture.TakeDisks(disks.Open(capture.Domain, configuration, capture.LeavesDisksOut), log);
        }

        capture.Configuration = configuration;
    }

    /// <summary>True where a domain has the devices that it had at <see cref="Refresh"/>. Reads its configuration.</summary>
    internal bool HasSameDevices(DomainCapture capture) =>
        SameDevices(capture.Configuration, capture.Domain.GetConfiguration());

    /// <summary>A domain cannot be part of the checkpoint that is being taken.</summary>
    /// <param name="capture">The domain.</param>
    /// <param name="cause">Why.</param>
    /// <exception cref="HypervisorException">It must not be left out: the cause itself.</exception>
    internal void LeaveOut(DomainCapture capture, HypervisorException cause)
    {
        LeftOutReason reason = Selection.LeftOut.ReasonOf(cause);
        string message = cause.Message;
        if (TryGetInfo(capture) is { } info && Selection.LeftOut.ByState(info, capture.Suspended) is { } state)
        {
            (reason, message) = state;
        }
        else if (TryGetInfo(capture) is null)
        {
            (reason, message) = (LeftOutReason.Gone, $"Domain {capture.Name} ended while the checkpoint was taken.");
        }

        if (RuleOf(capture) == UnableRule.Fail && reason != LeftOutReason.Gone)
        {
            ExceptionDispatchInfo.Throw(cause);
        }

        if (reason == LeftOutReason.NoAnswer)
        {
            message += $" It is asked again in {capture.History.Failed(Now).TotalSeconds:0} s.";
        }

        _first ??= cause;
        _ = _present.Remove(capture);
        capture.StepAside(_draft);
        _leftOut.Add(new LeftOutDomain(capture.Uuid, capture.Name, Selection.LeftOut.CodeOf(reason), message));
        Publish();
    }

    /// <summary>Nobody is there to be saved.</summary>
    internal CheckpointFailedException NobodyLeft() => new(
        _leftOut.Count == 0
            ? "There is no domain to checkpoint."
            : $"There is no domain to checkpoint: {string.Join(' ', _leftOut.Select(d => d.Message))}",
        _first);

    /// <summary>Gives all up.</summary>
    internal void Clear()
    {
        _all.ForEach(c => c.Dispose());
        _all.Clear();
        _present.Clear();
    }

    /// <summary>How long a domain has to suspend itself.</summary>
    internal TimeSpan SuspendTimeoutOf(DomainCapture capture) => _settings.SuspendTimeout
        ?? PolicyOf(capture.Uuid, capture.Name)?.SuspendTimeout ?? options.SuspendTimeout;

    /// <summary>What becomes of a checkpoint that a domain cannot be part of.</summary>
    internal UnableRule RuleOf(DomainCapture capture) => RuleOf(capture.Uuid, capture.Name, capture.Configuration);

    private UnableRule RuleOf(Guid uuid, string? name, DomainConfiguration? configuration) =>
        _settings.Domains is not null || (configuration is not null && ReachesPeers(configuration))
            ? UnableRule.Fail
            : PolicyOf(uuid, name)?.WhenUnable ?? options.WhenUnable;

    private bool ReachesPeers(DomainConfiguration configuration) => options.ReachesPeers?.Invoke(configuration) == true;

    // Of a domain that is not followed it is read where it counts: it takes a program of the toolstack. One that is being built
    // sends nothing yet, and one that is gone nothing more.
    private DomainConfiguration? ConfigurationOf(DomainInfo domain, DomainCapture? capture)
    {
        if (capture is not null || options.ReachesPeers is null)
        {
            return capture?.Configuration;
        }

        try
        {
            using IDomain opened = hypervisor.OpenDomain(domain.Uuid);
            return opened.GetConfiguration(_cancelled);
        }
        catch (Exception e) when (e is DomainUnfinishedException or DomainNotFoundException)
        {
            return null;
        }
    }

    private bool SameDevices(DomainConfiguration before, DomainConfiguration now) =>
        before.Toolstack == now.Toolstack || disks.DevicesOf(before) == disks.DevicesOf(now);

    private void Publish()
    {
        var table = new Dictionary<Guid, DomainCoverage>();
        foreach (LeftOutDomain domain in _leftOut)
        {
            table[domain.Uuid] = new DomainCoverage(domain, [], MemoryOnly: false);
        }

        foreach (DomainCapture capture in _present)
        {
            table[capture.Uuid] = new DomainCoverage(null, [.. capture.Disks.Select(d => d.Name)], capture.LeavesDisksOut);
        }

        Coverage = table;
        Configurations = [.. _present.Select(c => c.Configuration)];
    }

    private DomainPolicy? PolicyOf(Guid uuid, string? name) => options.PolicyOf(uuid, name);

    private bool IsAsked(DomainInfo domain) => (_settings.Domains ?? options.Domains)?.Contains(domain.Uuid) ?? true;

    private bool MemoryOnlyFor(DomainInfo domain) =>
        _settings.MemoryOnly ?? PolicyOf(domain.Uuid, domain.Name)?.MemoryOnly ?? options.MemoryOnly;

    // What was saved of it for the open epoch goes with it: its next image is full.
    private void DropThoseGone(List<DomainInfo> domains)
    {
        foreach (DomainCapture capture in _all.ToArray())
        {
            DomainInfo? found = domains.Find(d => d.Uuid == capture.Uuid && d.Id == capture.Domain.Id
                && !d.State.HasFlag(DomainStates.Dying));
            if (found is null)
            {
                log($"Domain {capture.Name} is gone.");
                Drop(capture);
            }
            else if (!IsAsked(found) || MemoryOnlyFor(found) != capture.LeavesDisksOut)
            {
                Drop(capture);
            }
        }
    }

    private void Drop(DomainCapture capture)
    {
        if (_draft is { } draft)
        {
            capture.Leave(draft);
        }

        capture.Dispose();
        _ = _all.Remove(capture);
    }

    private (LeftOutReason Reason, string Message)? Obstacle(
        DomainInfo domain, List<DomainInfo> domains, DomainCapture? capture)
    {
        string name = domain.Name ?? $"{domain.Uuid}";
        if (PolicyOf(domain.Uuid, domain.Name) is { Include: false } && _settings.Domains is null)
        {
            return (LeftOutReason.Excluded, $"Domain {name} is excluded by the settings.");
        }

        if (domains.Find(d => d.Uuid == domain.Uuid && d.Id != domain.Id && !d.State.HasFlag(DomainStates.Dying)) is { } other)
        {
            return (LeftOutReason.Ambiguous, $"Domains {name} ({domain.Id}) and {other.Name} ({other.Id}) have one UUID, "
                + $"{domain.Uuid}: which of them a checkpoint is of could not be told. One of them is probably being migrated or restored; "
                + "where none is, shut one of them down and give it another UUID ('uuid' in its configuration).");
        }

        if (Selection.LeftOut.ByState(domain, capture?.Suspended == true) is { } state)
        {
            return state;
        }

        return capture is not null && !_settings.AskAll && RuleOf(capture) == UnableRule.Skip
            && capture.History.Pause(Now) is var pause && pause > TimeSpan.Zero
            ? (LeftOutReason.NoAnswer,
                $"Domain {name} did not suspend itself when it was asked, and is asked again in {Math.Ceiling(pause.TotalSeconds):0} s.")
            : null;
    }

    private void Refuse(DomainInfo domain, DomainCapture? capture, LeftOutReason reason, string message)
    {
        if (!IsNobodysLoss(reason))
        {
            DomainConfiguration? configuration = ConfigurationOf(domain, capture);
            if (configuration is not null && ReachesPeers(configuration))
            {
                throw new CheckpointFailedException(
                    $"{message} It cannot be left out of a checkpoint: it is on the bridge that guests of other nodes are reached by. "
                    + "Take its interface off that bridge, or end it.");
            }

            if (reason != LeftOutReason.Excluded && RuleOf(domain.Uuid, domain.Name, configuration) == UnableRule.Fail)
            {
                throw new CheckpointFailedException(
                    $"{message} 'xtlctl domain set {domain.Name} --when-unable skip' leaves it out of checkpoints instead.");
            }
        }

        if (reason == LeftOutReason.Excluded && capture is not null)
        {
            Drop(capture);
        }
        else
        {
            capture?.StepAside(_draft);
        }

        _leftOut.Add(Selection.LeftOut.Of(domain, reason, message));
    }

    // One that has ended cannot be saved, and nothing of it goes on.
    private static bool IsNobodysLoss(LeftOutReason reason) => reason is LeftOutReason.ShutDown or LeftOutReason.Gone;

    private void TakeIn(List<DomainInfo> fresh)
    {
        if (fresh.Count == 0)
        {
            return;
        }

        intent.SetLogs(_all.Select(c => c.Uuid).Concat(fresh.Select(d => d.Uuid)));
        foreach (DomainInfo domain in fresh)
        {
            try
            {
                DomainCapture capture = Take(domain);
                _all.Add(capture);
                _present.Add(capture);
            }
            catch (DomainUnfinishedException e)
            {
                // It takes part the next time.
                _leftOut.Add(Selection.LeftOut.Of(domain, LeftOutReason.Unfinished, e.Message));
            }
            catch (HypervisorException e) when (e is DomainNotFoundException
                || RuleOf(domain.Uuid, domain.Name, ConfigurationOf(domain, null)) == UnableRule.Skip)
            {
                _first ??= e;
                _leftOut.Add(Selection.LeftOut.Of(domain, Selection.LeftOut.ReasonOf(e), e.Message));
            }
        }
    }

    private DomainCapture Take(DomainInfo info)
    {
        bool memoryOnly = MemoryOnlyFor(info);
        IDomain domain = hypervisor.OpenDomain(info.Uuid);
        IReadOnlyList<ICheckpointedDisk> opened = [];
        try
        {
            DomainConfiguration configuration = domain.GetConfiguration(_cancelled);
            opened = disks.Open(domain, configuration, memoryOnly);
            return new DomainCapture(domain, info.Name ?? $"{info.Uuid}", startMemory(domain), configuration, opened)
            {
                LeavesDisksOut = memoryOnly,
            };
        }
        catch
        {
            foreach (ICheckpointedDisk disk in opened)
            {
                disk.Dispose();
            }

            domain.Dispose();
            throw;
        }
    }

    private static DomainInfo? TryGetInfo(DomainCapture capture)
    {
        try
        {
            return capture.Domain.GetInfo();
        }
        catch (DomainNotFoundException)
        {
            return null;
        }
    }
}
