using System.Diagnostics;
using System.Security.Cryptography;
using Microsoft.Win32.SafeHandles;
using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Checkpointing.Disks.Thin;
using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.NativeInterop.Devices;
using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Dom0Tests.Disks;

/// <summary>A pool over two files with a volume, a store, and a registry of its own.</summary>
internal sealed class ThinNode : IDisposable
{
    internal const int Block = 65536, Unit = 4096;

    private readonly string _folder;
    private readonly string _name = $"t{RandomNumberGenerator.GetInt32(1_000_000_000)}";

    internal ThinNode(long volumeLength, long poolLength = 256 << 20)
    {
        // Not in /tmp, which is memory.
        _folder = $"/var/tmp/xtl-{_name}";
        _ = Directory.CreateDirectory(_folder);
        Mapper = DeviceMapper.Open();
        Registry = new DiskRegistry(Path.Combine(_folder, "state"));
        Store = DirectoryStore.Open(Path.Combine(_folder, "store"));
        Volumes = new ThinVolumes(Mapper, Registry);
        _ = Volumes.CreatePool(_name, $"{_folder}/data", $"{_folder}/metadata", poolLength);
        _ = Volumes.Create(_name, _name, volumeLength);
        Length = volumeLength;
    }

    internal DeviceMapper Mapper { get; }

    internal DiskRegistry Registry { get; }

    internal ThinVolumes Volumes { get; }

    internal DirectoryStore Store { get; }

    internal long Length { get; }

    internal Guid Domain { get; } = Guid.NewGuid();

    internal VolumeRecord Volume => Registry.Read().Volume(_name);

    internal PoolRecord Pool => Registry.Read().Pool(_name);

    internal ThinPool ThinPool => new(Mapper, Registry, _name);

    internal ThinDisk OpenDisk() => new(Mapper, Registry, _name, "xvda");

    /// <summary>Writes random bytes from a unit on.</summary>
    internal void Write(long unit, int units = 1) => Write(unit, RandomNumberGenerator.GetBytes(units * Unit));

    internal void Write(long unit, byte[] bytes)
    {
        using SafeFileHandle device = File.OpenHandle(
            Volume.Path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
        RandomAccess.Write(device, bytes, unit * Unit);
        RandomAccess.FlushToDisk(device);
    }

    internal void Discard(long block) => Run(
        "blkdiscard", "--offset", $"{block * Block}", "--length", $"{Block}", Volume.Path);

    internal byte[] Contents()
    {
        byte[] bytes = new byte[Length];
        using SafeFileHandle device = File.OpenHandle(
            Volume.Path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        for (int at = 0; at < bytes.Length;)
        {
            int read = RandomAccess.Read(device, bytes.AsSpan(at, Math.Min(1 << 20, bytes.Length - at)), at);
            Assert.NotEqual(0, read);
            at += read;
        }

        return bytes;
    }

    /// <summary>Takes a checkpoint of the disk alone, as the node's checkpointer does.</summary>
    /// <param name="disk">The disk.</param>
    /// <param name="last">The checkpoint before; empty for none.</param>
    /// <param name="afterSeal">What happens before the sealed state is written.</param>
    internal Guid Checkpoint(ThinDisk disk, Guid last, Action? afterSeal = null)
    {
        using var draft = new CheckpointDraft(Store, "node");
        disk.Prepare(draft.Id);
        disk.Seal();
        afterSeal?.Invoke();
        Guid since = disk.CanBuildUpon(last) ? last : Guid.Empty;
        disk.Write(
            draft.AddPart(new PartSpec
            {
                DomainUuid = Domain,
                DomainName = "guest",
                Content = disk.Content,
                Disk = disk.Info,
                ParentId = since,
                UnitSize = disk.BlockSize,
                UnitCount = disk.Info.Length / disk.BlockSize,
            }),
            since);
        _ = draft.Commit(new CheckpointClosing(draft.Epoch, DateTimeOffset.UtcNow));
        disk.Keep();
        return draft.Id;
    }

    internal Chain OpenChain(Guid checkpoint) =>
        Chain.Open(Store, checkpoint, Domain, ImageContent.BlockDevice, "xvda");

    /// <summary>What a checkpoint's chain folds to.</summary>
    internal byte[] ReadBack(Guid checkpoint)
    {
        using Chain chain = OpenChain(checkpoint);
        var collector = new Collector(new byte[Length]);
        chain.Visit(collector);
        return collector.Bytes;
    }

    /// <summary>What one image holds: units with data, and units of zeros.</summary>
    internal (ImageKind Kind, List<long> Data, List<long> Zero) Image(Guid checkpoint)
    {
        CheckpointManifest manifest = Store.Checkpoints.Single(m => m.Id == checkpoint);
        ManifestPart part = manifest.Find(Domain, ImageContent.BlockDevice, "xvda")!;
        using var reader = new ImageReader(Store.OpenRead(manifest.Epoch, part.File), part.File);
        var collector = new Collector(new byte[Length]);
        _ = reader.ReadToEnd(collector);
        collector.Data.Sort();
        collector.Zero.Sort();
        return (part.Kind, collector.Data, collector.Zero);
    }

    internal void Put(Guid checkpoint)
    {
        using Chain chain = OpenChain(checkpoint);
        Volumes.Put(_name, chain, checkpoint);
    }

    public void Dispose()
    {
        _ = Volumes.RemoveKept(_name);
        Volumes.Remove(_name);
        Assert.Empty(Pool.Unwanted);
        Volumes.RemovePool(_name);
        Assert.DoesNotContain(Mapper.List(), d => d.EndsWith(_name, StringComparison.Ordinal));
        Assert.DoesNotContain(Directory.GetFileSystemEntries("/dev/mapper"), d => d.EndsWith(_name, StringComparison.Ordinal));
        Store.Dispose();
        Mapper.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    internal static string Run(string program, params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments)
        {
            UseShellExecute = false,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        string output = process.StandardOutput.ReadToEnd() + process.StandardError.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, $"{program} {string.Join(' ', arguments)}: {output}");
        return output;
    }

    private sealed class Collector(byte[] bytes) : ImageVisitor
    {
        internal byte[] Bytes => bytes;

        internal List<long> Data { get; } = [];

        internal List<long> Zero { get; } = [];

        public override void OnData(PfnRun run, ReadOnlySpan<byte> data)
        {
            data.CopyTo(bytes.AsSpan((int)run.First * Unit));
            Data.AddRange(Enumerable.Range(0, run.Count).Select(i => run.First + i));
        }

        public override void OnZero(PfnRun run) =>
            Zero.AddRange(Enumerable.Range(0, run.Count).Select(i => run.First + i));
    }
}
