using System.Numerics;
using XenTwoLevelCkpt.Checkpointing.Cache;
using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Checkpointing.Memory;
using XenTwoLevelCkpt.Checkpointing.Node.Selection;
using XenTwoLevelCkpt.Checkpointing.Pacing;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;

namespace XenTwoLevelCkpt.Checkpointing.Node;

/// <summary>
/// The node level of the two-level scheme (section 4.1 of the paper): checkpoints all domains of a host together.
/// Between checkpoints, pages that fall out of the domains' dirty-page caches are copied and written; at a checkpoint
/// the domains are suspended at one moment, and only what is left is copied.
/// </summary>
/// <remarks>Thread-safe; one checkpoint at a time.</remarks>
public sealed partial class NodeCheckpointer : IAsyncDisposable
{
    /// <summary>Bytes of the records that all open images of memory have in the making: a writer keeps three, each with
    /// its compressed form, so that all together take at most 24 MiB, and more only from 64 domains on.</summary>
    private const int OpenBatches = 4 << 20;

    private readonly IHypervisor _hypervisor;
    private readonly ICheckpointStore _store;
    private readonly IChannelState _channels;
    private readonly NodeOptions _options;
    private readonly IntentFile _intent;
    private readonly HashSet<Guid> _maySuspend = [];
    private readonly StagingArea _staging;
    private readonly CopyRate _rate = new();
    private readonly CopyBatch _batch;
    private readonly WindowCrew _crew;
    private readonly SemaphoreSlim _gate = new(1, 1);
    private readonly DomainRoster _roster;
    private CheckpointDraft? _draft;
    private bool _disposed;

    /// <summary>Makes ready. Nothing happens to a domain before <see cref="Start"/> or <see cref="CheckpointAsync"/>.
    /// </summary>
    /// <param name="hypervisor">The hypervisor; stays the caller's.</param>
    /// <param name="store">Receives the checkpoints; stays the caller's.</param>
    /// <param name="disks">Knows the domains' disks.</param>
    /// <param name="options">The operator's settings.</param>
    /// <param name="channels">Knows what the node holds back for domains; null on a node without peers.</param>
    /// <exception cref="IOException">The state directory cannot be written.</exception>
    public NodeCheckpointer(
        IHypervisor hypervisor, ICheckpointStore store, IDiskProvider disks, NodeOptions options,
        IChannelState? channels = null)
    {
        ArgumentNullException.ThrowIfNull(options);
        _hypervisor = hypervisor;
        _store = store;
        _channels = channels ?? new NoChannels();
        _options = options;
        _intent = new IntentFile(options.StateDirectory);
        _staging = new StagingArea(options.StagingPages);
        _batch = new CopyBatch(_rate);
        _roster = new DomainRoster(hypervisor, disks, options, _intent, StartMemory, m => Log?.Invoke(m));

        Pacer = new BackgroundPacer(new BackgroundPace(options.BackgroundShare, options.BackgroundBandwidth));

        // Copying saturates memory bandwidth with a few threads; more only take CPU time from the guests' backends.
        _crew = new WindowCrew(Math.Clamp(Environment.ProcessorCount, 2, 8) - 1);
    }

    /// <summary>Says what happened beside checkpoints: domains that came, went, or have to be saved in full again.
    /// Called on any thread.</summary>
    public Action<string>? Log { get; init; }

    /// <summary>The domains that take part, by their names.</summary>
    public IReadOnlyList<string> Domains
    {
        get
        {
            _gate.Wait();
            try
            {
                return [.. _roster.Present.Select(c => c.Name)];
            }
            finally
            {
                _ = _gate.Release();
            }
        }
    }

    /// <summary>How the last attempt of a checkpoint found the domains, by UUID; never waits.</summary>
    public IReadOnlyDictionary<Guid, DomainCoverage> Coverage => _roster.Coverage;

    /// <summary>The configurations of the domains that took part in the last attempt of a checkpoint; never waits.</summary>
    public IReadOnlyList<DomainConfiguration> Configurations => _roster.Configurations;

    /// <summary>Octets of the open epoch that have gone to the store; never waits.</summary>
    public long Written => _draft?.Written ?? 0;

    /// <summary>Holds back what is done while guests run. Tests have one of their own.</summary>
    internal BackgroundPacer Pacer { get; init; }

    /// <summary>Fault points of the tests, by their numbers.</summary>
    internal Action<NodeStep>? Fault { get; set; }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        await StopSamplingAsync().ConfigureAwait(false);
        await _gate.WaitAsync().ConfigureAwait(false);
        ResumeLeft();
        bool left = _roster.All.Any(c => c.Suspended);
        _roster.Clear();
        _draft?.Dispose();
        if (_maySuspend.Count > 0)
        {
            var pending = new PendingSuspensions(_hypervisor, _maySuspend, m => Log?.Invoke(m));
            await Task.Run(() => pending.Wait(Log, PendingSuspensions.Patience)).ConfigureAwait(false);
        }

        if (!left)
        {
            // Otherwise the record stays, for whoever recovers the node.
            _intent.Delete();
        }

        _intent.Dispose();
        _crew.Dispose();
        _batch.Dispose();
        _staging.Dispose();
        _gate.Dispose();
    }

    // A cache for all that the staging area holds costs 16 bytes a page of 4 KiB.
    private IMemoryCapture StartMemory(IDomain domain) => domain.CanCopyPages
        ? new MemoryCapture(domain, new DirtyPageCache(_options.CacheEntries ?? _options.StagingPages), _batch)
        : new PvMemoryCapture(domain, _staging);

    // Everybody takes part in the open epoch: it is opened where there is none, and domains that came or whose image
    // lacks pages begin theirs.
    private void OpenEpoch()
    {
        if (_draft is null)
        {
            foreach (DomainCapture capture in _roster.All)
            {
                capture.LoseEpoch();
            }

            _draft = new CheckpointDraft(_store, _options.Node);
        }

        ImageWriterOptions options = WriterOptions(_roster.Present.Count);
        Each(capture =>
        {
            if (capture.Memory.IsIncomplete)
            {
                capture.RestartLog(() => StartMemory(capture.Domain));
            }

            if (!capture.IsOpen)
            {
                capture.BeginEpoch(_draft, options);
            }
        });
        SetLimits();
    }

    /// <summary>The open images of all domains share <see cref="OpenBatches"/>: smaller records where there are many.
    /// LZ4 does as well on 64 KiB, its window.</summary>
    internal static ImageWriterOptions WriterOptions(int domains) => new()
    {
        BatchSize = (int)Math.Clamp(
            BitOperations.RoundUpToPowerOf2((uint)(OpenBatches / Math.Max(1, domains))), 64 << 10,
            new ImageWriterOptions().BatchSize),
    };

    // The residual pages of all domains have to fit the allowed pause and the staging area. A quarter is left for pages
    // that are dirtied between the last sample and the suspension.
    private void SetLimits()
    {
        if (_roster.Present.Count == 0)
        {
            return;
        }

        long pages = _options.StagingPages;
        if (_options.CacheEntries is null && _rate.PagesPerSecond > 0)
        {
            pages = Math.Min(pages, (long)(_options.AllowedPause.TotalSeconds * _rate.PagesPerSecond));
        }

        int each = (int)Math.Max(MinLimit, pages * 3 / 4 / _roster.Present.Count);
        foreach (DomainCapture capture in _roster.Present)
        {
            if (capture.Memory.Cache is { } cache)
            {
                cache.Limit = Math.Min(cache.Capacity, _options.CacheEntries ?? (each >> _tightened));
            }
        }
    }

    /// <summary>A cache below this many entries would be emptied by one look at the log of a guest that does little.
    /// </summary>
    private const int MinLimit = 64;

    // After a residue that did not fit: how often the limits were halved.
    private int _tightened;
}

/// <summary>Points inside a node checkpoint at which tests make it fail.</summary>
internal enum NodeStep
{
    /// <summary>The domains are known, their logs are on.</summary>
    DomainsFound = 1,

    /// <summary>The pages that could be were copied.</summary>
    PagesCopied = 2,

    /// <summary>Everything is prepared, the intent is on disk.</summary>
    IntentWritten = 3,

    /// <summary>All domains are suspended.</summary>
    Suspended = 4,

    /// <summary>In the window, by one of its threads: before a domain's memory is collected.</summary>
    CollectingMemory = 5,

    /// <summary>In the window, by one of its threads: before a domain's registers and disks are collected.</summary>
    CollectingState = 6,

    /// <summary>Everything is collected, the domains are still suspended.</summary>
    Collected = 7,

    /// <summary>The domains run again.</summary>
    Resumed = 8,

    /// <summary>The residual pages are written.</summary>
    ResidueWritten = 9,

    /// <summary>All parts are written, the commit comes next.</summary>
    PartsWritten = 10,

    /// <summary>The checkpoint is in the store.</summary>
    Committed = 11,
}
