using XenTwoLevelCkpt.Checkpointing.Node.Selection;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Store;

namespace XenTwoLevelCkpt.Checkpointing.Node;

/// <summary>What an operator sets of a node's checkpoints.</summary>
public sealed record NodeOptions
{
    /// <summary>The node's name, in manifests.</summary>
    public string Node { get; init; } = Environment.MachineName;

    /// <summary>How long a guest has to suspend itself. libxl gives 60 s, and Linux allows its processes 20 s to stop
    /// (<c>/sys/power/pm_freeze_timeout</c>); a guest that works needs a fraction of a second. The others do not stand
    /// still as long: <see cref="WaitLimit"/>.</summary>
    public TimeSpan SuspendTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long guests that are suspended wait for one that is not. Then they run again, and from then on the slow one
    /// is asked first, while the others run.</summary>
    public TimeSpan WaitLimit { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>What becomes of a checkpoint where a domain cannot be part of it.</summary>
    public UnableRule WhenUnable { get; init; }

    /// <summary>Whether a domain exchanges frames with other nodes: then it must be part of every checkpoint, whatever the rule. Null
    /// for a node without peers.</summary>
    public Func<DomainConfiguration, bool>? ReachesPeers { get; init; }

    /// <summary>What differs for a domain: by its UUID or its name; null for nothing.</summary>
    public Func<Guid, string?, DomainPolicy?>? Policies { get; init; }

    /// <summary>How long copying the residual pages may take, beside the guests' own suspending and resuming. The size
    /// of the caches follows from it and from the rate at which this node copies pages.</summary>
    public TimeSpan AllowedPause { get; init; } = TimeSpan.FromMilliseconds(50);

    /// <summary>Pages of 4 KiB that may be copied while guests are suspended, of all domains together: this much
    /// memory is set aside. 64 MiB by default.</summary>
    public int StagingPages { get; init; } = 16384;

    /// <summary>Entries of a domain's dirty-page cache; null to let them follow from <see cref="AllowedPause"/>. With
    /// 0 nothing is saved in advance, and all dirty pages are copied while the guests are suspended.</summary>
    public int? CacheEntries { get; init; }

    /// <summary>Bytes of guests' memory a second that are copied and written while guests run, of all domains together, the copy of a
    /// first checkpoint included; null for no limit. What cannot be written in time stays for the suspension.</summary>
    public long? BackgroundBandwidth { get; init; }

    /// <summary>The share of the time in which guests' memory is copied, compressed and written while they run, above 0; 1 for no
    /// limit. The suspension and what is written after it are not held back, and neither is a checkpoint that is urgent.</summary>
    public double BackgroundShare { get; init; } = 1;

    /// <summary>The shortest time from one look at the dirty logs to the next. Each look stops the guests for the time
    /// that Xen needs to copy a bitmap.</summary>
    public TimeSpan MinSampleInterval { get; init; } = TimeSpan.FromMilliseconds(20);

    /// <summary>The longest time from one look at the dirty logs to the next.</summary>
    public TimeSpan MaxSampleInterval { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>Domains to save, by UUID; null for all guests.</summary>
    public IReadOnlyCollection<Guid>? Domains { get; init; }

    /// <summary>Saves domains with writable disks that cannot be snapshotted, too, without those disks.</summary>
    public bool MemoryOnly { get; init; }

    /// <summary>What differs for a domain, or null.</summary>
    internal DomainPolicy? PolicyOf(Guid uuid, string? name) => Policies?.Invoke(uuid, name);

    /// <summary>Where the intent record is kept: on a local file system that outlives the process.</summary>
    public required string StateDirectory { get; init; }
}

/// <summary>What is different for one checkpoint.</summary>
public sealed record CheckpointSettings
{
    /// <summary>Domains to save, by UUID; null for those of <see cref="NodeOptions.Domains"/>. What the others had saved in
    /// advance is given up, so that their next images are full.</summary>
    public IReadOnlyCollection<Guid>? Domains { get; init; }

    /// <summary>As <see cref="NodeOptions.MemoryOnly"/>; null for that.</summary>
    public bool? MemoryOnly { get; init; }

    /// <summary>As <see cref="NodeOptions.SuspendTimeout"/>; null for that.</summary>
    public TimeSpan? SuspendTimeout { get; init; }

    /// <summary>Asks guests to suspend that did not follow the last requests, too, as an operator expects who is there.</summary>
    public bool AskAll { get; init; }

    /// <summary>Somebody waits for it, such as a message of another node: nothing is held back to <see cref="NodeOptions.BackgroundShare"/>
    /// or <see cref="NodeOptions.BackgroundBandwidth"/>.</summary>
    public bool Urgent { get; init; }

    /// <summary>Saves a node without domains as a checkpoint without domains, instead of failing: its index counts all
    /// the same.</summary>
    public bool AllowEmpty { get; init; }

    /// <summary>What the checkpoint follows, for its manifest; null where that need not be said.</summary>
    public CheckpointPredecessor? Before { get; init; }
}
