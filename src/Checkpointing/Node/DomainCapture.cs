using System.Diagnostics;
using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Checkpointing.Memory;
using XenTwoLevelCkpt.Checkpointing.Node.Selection;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Checkpointing.Node;

/// <summary>One domain's part in the checkpoints of its node.</summary>
internal sealed class DomainCapture : IDisposable
{
    // Pages of the xenstore and the console ring, by the HVM parameters that name them (hvm/params.h).
    private static readonly (uint Parameter, string Name)[] Rings = [(1, "xenstore-ring"), (17, "console-ring")];

    private readonly byte[] _rings = new byte[Rings.Length * PageSize.Bytes];
    private readonly bool[] _ringPages = new bool[Rings.Length];
    private readonly List<long> _unread = new(1);
    private ImageWriter? _writer;

    internal DomainCapture(
        IDomain domain, string name, IMemoryCapture memory, DomainConfiguration configuration,
        IReadOnlyList<ICheckpointedDisk> disks)
    {
        Domain = domain;
        Name = name;
        Memory = memory;
        Configuration = configuration;
        Disks = disks;
    }

    internal IDomain Domain { get; }

    internal Guid Uuid => Domain.Uuid;

    /// <summary>The toolstack's name for it, which may change.</summary>
    internal string Name { get; set; }

    internal IMemoryCapture Memory { get; private set; }

    internal DomainConfiguration Configuration { get; set; }

    internal IReadOnlyList<ICheckpointedDisk> Disks { get; private set; }

    /// <summary>How it suspended itself before.</summary>
    internal SuspendHistory History { get; } = new();

    /// <summary>True while it is left out of checkpoints: it has no image, and Xen's log keeps what it writes.</summary>
    internal bool IsAside { get; private set; }

    /// <summary>True where disks that cannot be checkpointed may be missing from <see cref="Disks"/>.</summary>
    internal bool LeavesDisksOut { get; init; }

    /// <summary>The checkpoint that increments build upon; empty before the first.</summary>
    internal Guid Last { get; set; }

    /// <summary>Why the open epoch's memory image is full, or the next one has to be; null for an increment.</summary>
    internal string? FullBecause { get; set; } = "it is the first checkpoint of the domain";

    /// <summary>True where the open epoch's image lacks pages and has to be begun again.</summary>
    internal bool IsBroken { get; private set; }

    /// <summary>True while the open epoch has an image that receives pages.</summary>
    internal bool IsOpen => _writer is not null && !IsBroken;

    internal DomainRegisters? Registers { get; private set; }

    internal PhaseTimes Phases { get; private set; } = None;

    internal bool Suspended { get; set; }

    private static PhaseTimes None => new(default, default, default, default, default, default);

    /// <summary>The image lacks pages: the next one has to hold all.</summary>
    internal void Break(string reason)
    {
        IsBroken = true;
        FullBecause = reason;
    }

    /// <summary>Takes part in an epoch.</summary>
    internal void BeginEpoch(CheckpointDraft draft, ImageWriterOptions options)
    {
        if (_writer is { } old)
        {
            draft.RemovePart(old);
            _writer = null;
        }

        IsAside = false;
        bool full = FullBecause is not null || Last == Guid.Empty;
        _writer = draft.AddPart(new PartSpec
        {
            DomainUuid = Uuid,
            DomainName = Name,
            Content = ImageContent.Memory,
            ParentId = full ? Guid.Empty : Last,
            UnitSize = PageSize.Bytes,
            UnitCount = Memory.PfnCount,
            Options = options,
        });

        // Until the memory has begun its epoch, too: what fails there is begun again.
        IsBroken = true;
        Memory.BeginEpoch(_writer, full);
        IsBroken = false;
    }

    /// <summary>The draft that the image belongs to is gone.</summary>
    internal void LoseEpoch() => _writer = null;

    /// <summary>Leaves the domain out of the open epoch. What its image had of it is owed to the next one.</summary>
    /// <param name="draft">The open epoch; null where there is none.</param>
    internal void StepAside(CheckpointDraft? draft)
    {
        if (IsAside)
        {
            return;
        }

        IsAside = true;

        // In any case: a PV guest may be streaming into the image.
        bool known = (_writer is null || Memory.TryStepAside()) && !IsBroken;
        if (draft is not null)
        {
            Leave(draft);
        }

        if (!known)
        {
            FullBecause ??= "it was left out of a checkpoint that had part of it already";
        }

        foreach (ICheckpointedDisk disk in Disks)
        {
            disk.Abandon();
        }
    }

    /// <summary>Takes over the disks that the domain has by now.</summary>
    /// <param name="disks">They become this object's.</param>
    /// <param name="log">Told which came and which went.</param>
    internal void TakeDisks(IReadOnlyList<ICheckpointedDisk> disks, Action<string> log)
    {
        foreach (ICheckpointedDisk disk in disks.Where(d => !Disks.Any(o => o.Name == d.Name)))
        {
            log($"Disk {disk.Name} of domain {Name} is part of its checkpoints from now on.");
        }

        foreach (ICheckpointedDisk disk in Disks.Where(o => !disks.Any(d => o.Name == d.Name)))
        {
            log($"Disk {disk.Name} of domain {Name} is gone, and not part of its checkpoints any more.");
        }

        foreach (ICheckpointedDisk disk in Disks)
        {
            disk.Dispose();
        }

        Disks = disks;
    }

    /// <summary>Takes the domain's parts out of a draft.</summary>
    internal void Leave(CheckpointDraft draft)
    {
        if (_writer is { } writer)
        {
            draft.RemovePart(writer);
            _writer = null;
        }
    }

    /// <summary>Starts the dirty log again, with nothing known of the domain's memory.</summary>
    internal void RestartLog(Func<IMemoryCapture> start)
    {
        IsBroken = true;
        FullBecause ??= "its dirty log was not complete any more";
        Memory.Dispose();
        Memory = start();
    }

    /// <summary>What can be done before the domain is suspended.</summary>
    internal void Prepare(Guid checkpoint)
    {
        Phases = None;
        Registers = null;
        foreach (ICheckpointedDisk disk in Disks)
        {
            disk.Prepare(checkpoint);
        }
    }

    /// <summary>T_s.</summary>
    internal async Task SuspendAsync(TimeSpan timeout, CancellationToken cancellationToken)
    {
        long start = Stopwatch.GetTimestamp();
        await Domain.SuspendAsync(timeout, cancellationToken).ConfigureAwait(false);
        Suspended = true;
        Phases = Phases with { Suspend = Stopwatch.GetElapsedTime(start) };
    }

    /// <summary>T_m.</summary>
    internal TimeSpan CollectMemory(StagingArea staging, bool compareTypes)
    {
        long start = Stopwatch.GetTimestamp();
        Memory.Collect(staging, compareTypes);
        return Stopwatch.GetElapsedTime(start);
    }

    /// <summary>T_a; T_d; and T_c, the rings between the guest and the control domain, and what the node holds back for it.
    /// </summary>
    /// <remarks>One reading of the clock between two phases: under Xen each may be a system call.</remarks>
    internal (TimeSpan Registers, TimeSpan Disks, TimeSpan Channels) CollectState(IChannelState channels)
    {
        long start = Stopwatch.GetTimestamp();
        Registers = Domain.CaptureRegisters();
        long captured = Stopwatch.GetTimestamp();
        long sealedAt = captured;
        if (Disks.Count > 0)
        {
            foreach (ICheckpointedDisk disk in Disks)
            {
                disk.Seal();
            }

            sealedAt = Stopwatch.GetTimestamp();
        }

        CollectChannels(channels);
        return (
            Stopwatch.GetElapsedTime(start, captured), Stopwatch.GetElapsedTime(captured, sealedAt),
            Stopwatch.GetElapsedTime(sealedAt));
    }

    private void CollectChannels(IChannelState channels)
    {
        for (int i = 0; i < Rings.Length; i++)
        {
            _ringPages[i] = Registers!.HvmParameters.TryGetValue(Rings[i].Parameter, out ulong pfn)
                && Domain.CopyPages([new PfnRun((long)pfn, 1)], _rings.AsSpan(i * PageSize.Bytes, PageSize.Bytes), _unread) == 1;
        }

        channels.Capture(Uuid);
    }

    /// <summary>Writes what <see cref="CollectState"/> found of the channels.</summary>
    internal void WriteChannels(ImageWriter writer, IChannelState channels)
    {
        for (int i = 0; i < Rings.Length; i++)
        {
            if (_ringPages[i])
            {
                writer.AddBlob(Rings[i].Name, _rings.AsSpan(i * PageSize.Bytes, PageSize.Bytes));
            }
        }

        channels.Write(Uuid, writer);
    }

    /// <summary>T_r.</summary>
    internal void Resume()
    {
        long start = Stopwatch.GetTimestamp();
        Domain.Resume();
        Suspended = false;
        Phases = Phases with { Resume = Stopwatch.GetElapsedTime(start) };
    }

    internal void SetPhases(TimeSpan memory, TimeSpan registers, TimeSpan disks, TimeSpan channels) =>
        Phases = Phases with { Memory = memory, Registers = registers, Disks = disks, Channels = channels };

    internal DomainReport Report() =>
        new(Uuid, Name, Phases, Memory.PopulatedPages, Memory.Statistics, FullBecause);

    /// <inheritdoc/>
    public void Dispose()
    {
        try
        {
            Memory.Dispose();
        }
        catch (HypervisorException)
        {
            // The domain is gone, and its log with it.
        }

        foreach (ICheckpointedDisk disk in Disks)
        {
            disk.Dispose();
        }

        Domain.Dispose();
    }
}
