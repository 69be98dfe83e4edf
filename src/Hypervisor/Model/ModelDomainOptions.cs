namespace XenTwoLevelCkpt.Hypervisor.Model;

/// <summary>What a model domain is made of.</summary>
public sealed record ModelDomainOptions
{
    /// <summary>96 MiB, the smallest guest that the lab boots.</summary>
    public const long DefaultMemoryPages = 96L << 20 >> 12;

    /// <summary>The toolstack's name for the domain.</summary>
    public required string Name { get; init; }

    /// <summary>The domain's UUID; no two domains of a hypervisor share one.</summary>
    public Guid Uuid { get; init; } = Guid.NewGuid();

    /// <summary>How the guest is virtualised. Decides the layout of the physical map and which changes the
    /// dirty log sees.</summary>
    public GuestKind Kind { get; init; } = GuestKind.Pvh;

    /// <summary>Populated RAM in 4 KiB pages, special pages not counted. 0 makes an empty domain for a restore.</summary>
    public long MemoryPages { get; init; } = DefaultMemoryPages;

    /// <summary>The most 4 KiB pages of RAM the domain may have; 0 means <see cref="MemoryPages"/>.</summary>
    public long MaxMemoryPages { get; init; }

    /// <summary>RAM in pages that the domain may be given while it runs, beyond what it was made for: its PFN count rises with
    /// the pages that are populated there. 0 for none.</summary>
    public long GrowsToPages { get; init; }

    /// <summary>The hypervisor has no log-dirty mode for the domain, as Xen built without shadow paging for a PV guest.</summary>
    public bool WithoutDirtyLog { get; init; }

    /// <summary>Online virtual CPUs. Reported only: a model guest runs its workload on one.</summary>
    public int Vcpus { get; init; } = 1;

    /// <summary>Size of the guest's disk in blocks of <see cref="ModelDisk.BlockSize"/> bytes.</summary>
    public long DiskBlocks { get; init; } = 1024;

    /// <summary>The program the guest runs; null for a guest that idles.</summary>
    public IWorkload? Workload { get; init; }

    /// <summary>Time from a request to suspend until the guest is suspended. The guest runs on meanwhile.</summary>
    public TimeSpan SuspendLatency { get; init; }

    /// <summary>True to create the domain paused, as for a restore.</summary>
    public bool StartPaused { get; init; }
}
