using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Hypervisor.Model;
using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Checkpointing.Disks;

/// <summary>The disks of model guests: a sealed state is a copy, an increment what differs from the copy before.</summary>
/// <param name="hypervisor">Has the guests.</param>
/// <param name="store">Where a restore reads from.</param>
public sealed class ModelDisks(ModelHypervisor hypervisor, ICheckpointStore store) : IDiskProvider, IDiskRestorer
{
    private const string DiskName = "xvda";

    /// <inheritdoc/>
    public IReadOnlyList<ICheckpointedDisk> Open(IDomain domain, DomainConfiguration configuration, bool memoryOnly)
    {
        ArgumentNullException.ThrowIfNull(domain);
        ModelGuest guest = Find(domain.Uuid);
        return guest.Disk.BlockCount == 0 ? [] : [new CopiedDisk(guest.Disk)];
    }

    /// <inheritdoc/>
    public string? FindObstacle(CheckpointManifest checkpoint, ManifestDomain domain) => null;

    /// <inheritdoc/>
    public void Put(CheckpointManifest checkpoint, ManifestDomain domain)
    {
        // A model's disk comes and goes with its domain.
    }

    /// <inheritdoc/>
    public void Attached(CheckpointManifest checkpoint, ManifestDomain domain, IDomain restored)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        ArgumentNullException.ThrowIfNull(domain);
        ArgumentNullException.ThrowIfNull(restored);
        if (checkpoint.Find(domain.Uuid, ImageContent.BlockDevice, DiskName) is not null)
        {
            using Chain chain = Chain.Open(
                store, checkpoint.Id, domain.Uuid, ImageContent.BlockDevice, DiskName);
            chain.Visit(new DiskFiller(Find(restored.Uuid).Disk));
        }
    }

    /// <inheritdoc/>
    public void Undo(ManifestDomain domain)
    {
        // Gone with the domain.
    }

    private ModelGuest Find(Guid uuid) => hypervisor.Guests.FirstOrDefault(g => g.Uuid == uuid)
        ?? throw new DomainNotFoundException($"{uuid}");

    private sealed class DiskFiller(ModelDisk disk) : ImageVisitor
    {
        public override void OnData(PfnRun run, ReadOnlySpan<byte> data)
        {
            for (int i = 0; i < run.Count; i++)
            {
                disk.Write(run.First + i, data.Slice(i * ModelDisk.BlockSize, ModelDisk.BlockSize));
            }
        }
    }

    private sealed class CopiedDisk(ModelDisk disk) : ICheckpointedDisk
    {
        private byte[] _kept = [];
        private byte[] _sealed = [];
        private Guid _keptFor;
        private Guid _sealedFor;

        public string Name => DiskName;

        public ImageContent Content => ImageContent.BlockDevice;

        public DiskInfo Info => new(DiskName, disk.BlockCount * ModelDisk.BlockSize);

        public int BlockSize => ModelDisk.BlockSize;

        public void Prepare(Guid checkpoint)
        {
            _sealedFor = checkpoint;
            _sealed = new byte[disk.BlockCount * ModelDisk.BlockSize];
        }

        public void Seal()
        {
            for (long block = 0; block < disk.BlockCount; block++)
            {
                disk.Read(block).CopyTo(BlockOf(_sealed, block));
            }
        }

        public void Write(ImageWriter writer, Guid since)
        {
            ArgumentNullException.ThrowIfNull(writer);
            for (long block = 0; block < disk.BlockCount; block++)
            {
                Span<byte> data = BlockOf(_sealed, block);
                if (since == Guid.Empty || !data.SequenceEqual(BlockOf(_kept, block)))
                {
                    writer.AddUnits(new PfnRun(block, 1), data);
                }
            }
        }

        public bool CanBuildUpon(Guid checkpoint) => checkpoint == _keptFor;

        public void Keep() => (_kept, _keptFor) = (_sealed, _sealedFor);

        public void Abandon() => _sealed = [];

        public void Dispose()
        {
            // Only memory.
        }

        private static Span<byte> BlockOf(byte[] bytes, long block) =>
            bytes.AsSpan((int)(block * ModelDisk.BlockSize), ModelDisk.BlockSize);
    }
}
