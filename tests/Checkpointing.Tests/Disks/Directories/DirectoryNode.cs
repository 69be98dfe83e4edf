using System.Security.Cryptography;
using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Checkpointing.Disks.Directories;
using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.NativeInterop.Files;
using Xunit;

namespace XenTwoLevelCkpt.Checkpointing.Tests.Disks.Directories;

/// <summary>A directory with a store and a registry of its own, on the file system of <c>/var/tmp</c>.</summary>
internal sealed class DirectoryNode : IDisposable
{
    internal const string Name = "d", Tag = "share";

    private static readonly string? Obstacle = FindObstacle();

    private readonly string _folder;

    internal DirectoryNode()
    {
        Assert.SkipWhen(Obstacle is not null, Obstacle ?? "");
        _folder = $"/var/tmp/xtl-dir-{RandomNumberGenerator.GetInt32(1_000_000_000)}";
        _ = Directory.CreateDirectory(_folder);
        Registry = new DiskRegistry($"{_folder}/state");
        Store = DirectoryStore.Open($"{_folder}/store");
        Directories = new OverlayDirectories(Registry);
    }

    internal DiskRegistry Registry { get; }

    internal DirectoryStore Store { get; }

    internal OverlayDirectories Directories { get; }

    internal Guid Domain { get; } = Guid.NewGuid();

    internal string Folder => _folder;

    internal string Root => $"{_folder}/{Name}";

    internal DirectoryRecord Record => Registry.Read().Directory(Name);

    internal DirectoryPlaces Places => new(Record);

    internal string Export => Record.Path;

    internal string Data => $"{Export}/data";

    internal DirectoryNode Create()
    {
        _ = Directories.Create(Name, Root);
        return this;
    }

    /// <summary>How long a server may take. On a busy machine a shell takes a while to come to do nothing.</summary>
    internal TimeSpan IdleTimeout { get; init; } = TimeSpan.FromMinutes(2);

    internal DirectoryDisk OpenDisk(Action<DirectoryStep>? fault = null) =>
        new(Registry, Name, Tag) { Fault = fault, IdleTimeout = IdleTimeout };

    internal IReadOnlyList<string> Describe(bool links = true) => Tree.Describe(Data, links);

    /// <summary>Takes a checkpoint of the directory alone, as the node's checkpointer does.</summary>
    /// <param name="last">The checkpoint before; empty for none.</param>
    /// <param name="afterSeal">What happens before the sealed state is written.</param>
    /// <param name="fault">Called at each step.</param>
    internal Guid Checkpoint(Guid last, Action? afterSeal = null, Action<DirectoryStep>? fault = null)
    {
        using DirectoryDisk disk = OpenDisk(fault);
        using var draft = new CheckpointDraft(Store, "node");
        disk.Prepare(draft.Id);
        disk.Seal();
        afterSeal?.Invoke();
        Guid since = last != Guid.Empty && disk.CanBuildUpon(last) ? last : Guid.Empty;
        disk.Write(
            draft.AddPart(new PartSpec
            {
                DomainUuid = Domain,
                DomainName = "guest",
                Content = disk.Content,
                Disk = disk.Info,
                ParentId = since,
            }),
            since);
        _ = draft.Commit(new CheckpointClosing(draft.Epoch, DateTimeOffset.UtcNow));
        disk.Keep();
        return draft.Id;
    }

    internal Chain OpenChain(Guid checkpoint) => Chain.Open(Store, checkpoint, Domain, ImageContent.Directory, Tag);

    internal void Put(Guid checkpoint, Action<DirectoryStep>? fault = null)
    {
        using Chain chain = OpenChain(checkpoint);
        new OverlayDirectories(Registry) { Fault = fault }.Put(Name, chain, checkpoint);
    }

    /// <summary>What one image holds: its kind, and for each layer the names in it, with what they are.</summary>
    internal (ImageKind Kind, List<string[]> Layers) Image(Guid checkpoint)
    {
        CheckpointManifest manifest = Store.Checkpoints.Single(m => m.Id == checkpoint);
        ManifestPart part = manifest.Find(Domain, ImageContent.Directory, Tag)!;
        using var reader = new ImageReader(Store.OpenRead(manifest.Epoch, part.File), part.File);
        var layers = new Layers();
        _ = reader.ReadToEnd(layers);
        return (part.Kind, [.. layers.Streams.Select(s => Archive.Names(s.ToArray()))]);
    }

    public void Dispose()
    {
        if (Registry.Read().Directories.Count > 0)
        {
            _ = Directories.RemoveKept(Name);
            Directories.Remove(Name);
        }

        Assert.DoesNotContain(Mounts.Read(), m => m.Point.StartsWith(_folder, StringComparison.Ordinal));
        Store.Dispose();
        RawFiles.RemoveTree(_folder);
    }

    private static string? FindObstacle()
    {
        if (!Environment.IsPrivilegedProcess)
        {
            return "Mounting needs root.";
        }

        string folder = Directory.CreateTempSubdirectory("xtl-probe-").FullName;
        try
        {
            Mounts.Mount("tmpfs", folder, "size=64k");
            Mounts.Unmount(folder);
            return File.ReadAllText("/proc/filesystems").Contains("\toverlay\n", StringComparison.Ordinal)
                ? null
                : "This kernel has no overlayfs ('modprobe overlay' loads it).";
        }
        catch (IOException e)
        {
            return $"This system mounts nothing: {e.Message}";
        }
        finally
        {
            Directory.Delete(folder);
        }
    }

    private sealed class Layers : ImageVisitor
    {
        private bool _last = true;

        internal List<MemoryStream> Streams { get; } = [];

        public override void OnBlob(string name, ReadOnlySpan<byte> part, bool last)
        {
            if (_last)
            {
                Streams.Add(new MemoryStream());
            }

            Streams[^1].Write(part);
            _last = last;
        }
    }
}
