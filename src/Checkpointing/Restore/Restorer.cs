using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Checkpointing.Restore;

/// <summary>Brings domains back as a checkpoint has them.</summary>
/// <param name="store">Holds the checkpoints.</param>
public sealed partial class Restorer(ICheckpointStore store)
{
    /// <summary>Restores domains, and lets them run together when all are there.</summary>
    /// <param name="hypervisor">Where to.</param>
    /// <param name="checkpoint">The checkpoint.</param>
    /// <param name="domains">UUIDs of the domains wanted; null for all.</param>
    /// <param name="newName">A name for the one domain wanted, which also gets a new UUID; null to keep both.</param>
    /// <param name="disks">Puts the domains' disks to the checkpoint's state; null to leave them alone.</param>
    /// <param name="progress">Learns the share of domains that are back; may be null.</param>
    /// <param name="cancellationToken">Gives up; what was restored is removed again.</param>
    /// <returns>The domains, running. The caller disposes them.</returns>
    /// <exception cref="HypervisorException">A domain could not be restored; none of them is there.</exception>
    /// <exception cref="ImageException">An image is damaged; nothing was done.</exception>
    /// <exception cref="InvalidDataException">What an image says makes no sense; nothing was done.</exception>
    /// <exception cref="IOException">An image cannot be read.</exception>
    public IReadOnlyList<IDomain> Restore(
        IHypervisor hypervisor, CheckpointManifest checkpoint, IReadOnlyCollection<Guid>? domains = null,
        string? newName = null, IDiskRestorer? disks = null, IProgress<double>? progress = null,
        CancellationToken cancellationToken = default)
    {
        using PausedDomains paused = RestorePaused(
            hypervisor, checkpoint, domains, newName, disks, progress, cancellationToken: cancellationToken);
        return paused.Run();
    }

    /// <summary>Restores domains, and leaves them paused: for what has to be done between their return and their first
    /// instruction.</summary>
    /// <param name="hypervisor">Where to.</param>
    /// <param name="checkpoint">The checkpoint.</param>
    /// <param name="domains">UUIDs of the domains wanted; null for all.</param>
    /// <param name="newName">A name for the one domain wanted, which also gets a new UUID; null to keep both.</param>
    /// <param name="disks">Puts the domains' disks to the checkpoint's state; null to leave them alone.</param>
    /// <param name="progress">Learns the share of domains that are back; may be null.</param>
    /// <param name="verified">True where <see cref="Verify"/> was called; otherwise it comes first.</param>
    /// <param name="cancellationToken">Gives up; what was restored is removed again.</param>
    /// <returns>The domains. Disposing it before <see cref="PausedDomains.Run"/> removes them again.</returns>
    /// <exception cref="HypervisorException">A domain could not be restored; none of them is there.</exception>
    /// <exception cref="ImageException">An image is damaged; nothing was done.</exception>
    /// <exception cref="InvalidDataException">What an image says makes no sense; nothing was done.</exception>
    /// <exception cref="IOException">An image cannot be read.</exception>
    public PausedDomains RestorePaused(
        IHypervisor hypervisor, CheckpointManifest checkpoint, IReadOnlyCollection<Guid>? domains = null,
        string? newName = null, IDiskRestorer? disks = null, IProgress<double>? progress = null,
        bool verified = false, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(hypervisor);
        ArgumentNullException.ThrowIfNull(checkpoint);

        // A node without domains goes back, too.
        List<ManifestDomain> wanted = domains is null && checkpoint.Domains.Count == 0 ? [] : Wanted(checkpoint, domains);
        if (newName is not null && wanted.Count != 1)
        {
            throw new ArgumentException("A new name is for one domain.", nameof(newName));
        }

        if (!verified && wanted.Count > 0)
        {
            Verify(checkpoint, domains, memory: true, disks is not null, cancellationToken);
        }

        var paused = new PausedDomains(disks);
        try
        {
            foreach (ManifestDomain domain in wanted)
            {
                disks?.Put(checkpoint, domain);
                paused.Put.Add(domain);
                paused.Restored.Add(RestoreOne(hypervisor, checkpoint, domain, newName, cancellationToken));
                disks?.Attached(checkpoint, domain, paused.Restored[^1]);
                progress?.Report((double)paused.Restored.Count / wanted.Count);
            }

            return paused;
        }
        catch (Exception e)
        {
            paused.Dispose();
            if (paused.Failures.Count > 0)
            {
                throw new HypervisorException(
                    $"{e.Message} And not all could be undone: {string.Join(' ', paused.Failures)}", e);
            }

            throw;
        }
    }

    /// <summary>Puts the disks of domains that are off to the checkpoint's state, and leaves it to somebody else to bring
    /// the domains back: to <c>xl restore</c> with an exported file, for instance.</summary>
    /// <param name="checkpoint">The checkpoint.</param>
    /// <param name="domains">UUIDs of the domains wanted; null for all.</param>
    /// <param name="disks">Puts the disks.</param>
    /// <returns>The domains whose disks were put.</returns>
    /// <exception cref="HypervisorException">A disk could not be put, or is in use; all are as they were.</exception>
    public static IReadOnlyList<ManifestDomain> RestoreDisks(
        CheckpointManifest checkpoint, IReadOnlyCollection<Guid>? domains, IDiskRestorer disks)
    {
        ArgumentNullException.ThrowIfNull(disks);
        List<ManifestDomain> wanted = Wanted(checkpoint, domains);
        var put = new List<ManifestDomain>();
        try
        {
            foreach (ManifestDomain domain in wanted)
            {
                disks.Put(checkpoint, domain);
                put.Add(domain);
            }

            return put;
        }
        catch
        {
            put.ForEach(disks.Undo);
            throw;
        }
    }

    /// <summary>Reads what a checkpoint has of a domain beside memory and disks.</summary>
    /// <param name="checkpoint">The checkpoint's identity.</param>
    /// <param name="domain">The domain's UUID.</param>
    /// <exception cref="ImageException">The image is damaged.</exception>
    /// <exception cref="InvalidDataException">The image lacks something.</exception>
    public SavedState ReadState(Guid checkpoint, Guid domain)
    {
        using Chain chain = Chain.Open(store, checkpoint, domain, ImageContent.Registers);
        var blobs = new BlobCollector();
        chain.Visit(blobs);
        return SavedState.From(blobs.Blobs);
    }

    /// <summary>Reads the channel state of the node (<see cref="IChannelState.NodeBlob"/>) from a checkpoint.</summary>
    /// <param name="checkpoint">The checkpoint.</param>
    /// <returns>The state; empty where the checkpoint has none.</returns>
    /// <exception cref="ImageException">The image is damaged.</exception>
    public ReadOnlyMemory<byte> ReadNodeState(CheckpointManifest checkpoint)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        Guid holder = checkpoint.NodeParts.Count > 0
            ? CheckpointManifest.NodeId
            : checkpoint.Domains.MinBy(d => d.Uuid)?.Uuid ?? default;
        if (checkpoint.Find(holder, ImageContent.Channels) is null)
        {
            return default;
        }

        using Chain chain = Chain.Open(store, checkpoint.Id, holder, ImageContent.Channels);
        var blobs = new BlobCollector();
        chain.Visit(blobs);
        return blobs.Blobs.GetValueOrDefault(IChannelState.NodeBlob);
    }

    /// <summary>Reads what a domain is restored from, beside its memory.</summary>
    /// <param name="checkpoint">The checkpoint's identity.</param>
    /// <param name="domain">The domain's UUID.</param>
    /// <param name="newName">A name for the restored domain, which also gets a new UUID; null to keep both.</param>
    /// <exception cref="ImageException">An image is damaged.</exception>
    /// <exception cref="InvalidDataException">An image lacks something.</exception>
    public RestoreRequest RequestFor(Guid checkpoint, Guid domain, string? newName = null)
    {
        SavedState state = ReadState(checkpoint, domain);
        using Chain memory = Chain.Open(store, checkpoint, domain, ImageContent.Memory);
        return Request(state, domain, memory.Header.UnitCount, newName);
    }

    private static RestoreRequest Request(SavedState state, Guid domain, long pfnCount, string? newName)
    {
        return new RestoreRequest
        {
            Uuid = newName is null ? domain : Guid.NewGuid(),
            Name = newName ?? state.Configuration.Name,
            Configuration = state.Configuration,
            Registers = state.Registers,
            PvHead = state.Pv?.Head ?? default,
            PvPageTypes = state.Pv?.PageTypes ?? default,
            PfnCount = pfnCount,
        };
    }

    /// <summary>Hands over a domain's memory, each page once.</summary>
    /// <param name="checkpoint">The checkpoint's identity.</param>
    /// <param name="domain">The domain's UUID.</param>
    /// <param name="target">Receives the pages.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="ImageException">An image is damaged.</exception>
    public void ReadMemory(
        Guid checkpoint, Guid domain, IPageSink target, CancellationToken cancellationToken = default)
    {
        using Chain chain = Chain.Open(store, checkpoint, domain, ImageContent.Memory);
        chain.Visit(new PageForwarder(target, cancellationToken));
    }

    private static List<ManifestDomain> Wanted(CheckpointManifest checkpoint, IReadOnlyCollection<Guid>? domains)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        List<ManifestDomain> wanted = [.. checkpoint.Domains.Where(d => domains?.Contains(d.Uuid) ?? true)];
        return wanted.Count > 0
            ? wanted
            : throw new ArgumentException("The checkpoint has none of the domains.", nameof(domains));
    }

    private IDomain RestoreOne(
        IHypervisor hypervisor, CheckpointManifest checkpoint, ManifestDomain domain, string? newName,
        CancellationToken cancellationToken)
    {
        RestoreRequest request = RequestFor(checkpoint.Id, domain.Uuid, newName);
        DomainConfiguration configuration = request.Configuration;
        if (!string.Equals(configuration.HypervisorVersion, hypervisor.Info.Version, StringComparison.Ordinal)
            && Release(configuration.HypervisorVersion) != Release(hypervisor.Info.Version))
        {
            throw new HypervisorException(
                $"Domain {domain.Name} was saved on {configuration.HypervisorVersion}, and this host runs "
                + $"{hypervisor.Info.Version}: its virtual hardware could differ. Restore it on the same release.");
        }

        using Chain memory = Chain.Open(store, checkpoint.Id, domain.Uuid, ImageContent.Memory);
        using IDomainRestore target = hypervisor.BeginRestore(request);
        memory.Visit(new PageForwarder(target, cancellationToken));
        return target.Complete();
    }

    // "4.17.7" is release "4.17".
    private static string Release(string version) => string.Join('.', version.Split('.').Take(2));

    private sealed class BlobCollector : ImageVisitor
    {
        private readonly Dictionary<string, MemoryStream> _streams = [];

        internal Dictionary<string, byte[]> Blobs => _streams.ToDictionary(s => s.Key, s => s.Value.ToArray());

        public override void OnBlob(string name, ReadOnlySpan<byte> part, bool last)
        {
            if (!_streams.TryGetValue(name, out MemoryStream? stream))
            {
                _streams.Add(name, stream = new MemoryStream());
            }

            stream.Write(part);
        }
    }

    private sealed class PageForwarder(IPageSink target, CancellationToken cancellationToken) : ImageVisitor
    {
        private readonly PfnRun[] _run = new PfnRun[1];

        public override void OnData(PfnRun run, ReadOnlySpan<byte> data)
        {
            cancellationToken.ThrowIfCancellationRequested();
            _run[0] = run;
            target.AddPages(_run, data);
        }

        public override void OnZero(PfnRun run) => target.AddZeroPages(run);
    }
}
