using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;

namespace XenTwoLevelCkpt.Images.Chains;

/// <summary>One image of a chain.</summary>
/// <param name="Checkpoint">The checkpoint.</param>
/// <param name="Part">Its part.</param>
public sealed record ChainLink(CheckpointManifest Checkpoint, ManifestPart Part);

/// <summary>A part of a checkpoint that is no state without its parents, and one of them is missing.</summary>
public sealed class ChainBrokenException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="message">What is missing.</param>
    public ChainBrokenException(string message)
        : base(message)
    {
    }
}

/// <summary>The images that make up one part's state at a checkpoint: increments, and the full image below them. Or the
/// increments alone, down to an older state: then what they change of it.</summary>
/// <remarks>Holds all its files open, so that folding and removing checkpoints of the store does not disturb it.
/// </remarks>
public sealed partial class Chain : IDisposable
{
    // A fold or a removal may come between resolving a chain and opening its files; each does so once.
    private const int Attempts = 8;

    private readonly ImageReader[] _readers;
    private readonly long[][] _records;

    private Chain(IReadOnlyList<ChainLink> links, ImageReader[] readers, long[][] records)
    {
        Links = links;
        _readers = readers;
        _records = records;
    }

    /// <summary>The images, newest first; the last one is full, unless there is a <see cref="Base"/>.</summary>
    public IReadOnlyList<ChainLink> Links { get; }

    /// <summary>The checkpoint whose state the images change; <see cref="Guid.Empty"/> where they are a state.</summary>
    public Guid Base => Links[^1].Part.ParentId;

    /// <summary>The newest image's header.</summary>
    public ImageHeader Header => _readers[0].Header;

    /// <summary>The newest image's trailer.</summary>
    public ImageTrailer Trailer => _readers[0].Trailer!;

    // The first record that holds a part of the state.
    private int First => Header.NeedsDisk ? 1 : 0;

    /// <summary>Finds the images of a chain.</summary>
    /// <param name="store">The store.</param>
    /// <param name="checkpoint">The checkpoint's identity.</param>
    /// <param name="domain">The domain's UUID.</param>
    /// <param name="content">What the part holds.</param>
    /// <param name="name">The disk's name; empty for other parts.</param>
    /// <exception cref="ChainBrokenException">A checkpoint or its part is not in the store, or not older than what
    /// builds upon it.</exception>
    public static IReadOnlyList<ChainLink> Resolve(
        ICheckpointStore store, Guid checkpoint, Guid domain, ImageContent content, string name = "")
    {
        ArgumentNullException.ThrowIfNull(store);
        IReadOnlyList<CheckpointManifest> checkpoints = store.Checkpoints;
        var links = new List<ChainLink>();
        while (true)
        {
            CheckpointManifest? manifest = checkpoints.FirstOrDefault(m => m.Id == checkpoint);
            if (manifest?.Find(domain, content, name) is not { } part)
            {
                throw new ChainBrokenException(
                    $"{content} {name} of domain {domain} at checkpoint {checkpoint} is not in the store"
                    + (links.Count == 0 ? "." : $", and checkpoint {links[^1].Checkpoint.Id} builds upon it."));
            }

            if (links.Count > 0 && manifest.Epoch >= links[^1].Checkpoint.Epoch)
            {
                throw new ChainBrokenException(
                    $"Checkpoint {links[^1].Checkpoint.Id} builds upon {checkpoint}, which is not older.");
            }

            links.Add(new ChainLink(manifest, part));
            if (part.Kind == ImageKind.Full)
            {
                return links;
            }

            checkpoint = part.ParentId;
        }
    }

    /// <summary>Opens the images of a chain, and proves that none of them was cut and no record is missing.</summary>
    /// <param name="store">The store.</param>
    /// <param name="checkpoint">The checkpoint's identity.</param>
    /// <param name="domain">The domain's UUID.</param>
    /// <param name="content">What the part holds.</param>
    /// <param name="name">The disk's name; empty for other parts.</param>
    /// <param name="onto">Opens what lies above this checkpoint only; <see cref="Guid.Empty"/> for all.</param>
    /// <exception cref="ChainBrokenException">A checkpoint or its part is not in the store, or <paramref name="onto"/> is not
    /// below it.</exception>
    /// <exception cref="ImageException">An image is damaged, or not the one that the manifest names.</exception>
    /// <exception cref="IOException">An image cannot be read.</exception>
    public static Chain Open(
        ICheckpointStore store, Guid checkpoint, Guid domain, ImageContent content, string name = "", Guid onto = default)
    {
        for (int attempt = 1; ; attempt++)
        {
            IReadOnlyList<ChainLink> links = Above(onto, Resolve(store, checkpoint, domain, content, name));
            try
            {
                return Open(store, domain, links);
            }
            catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException && attempt < Attempts)
            {
                store.Refresh();
            }
        }
    }

    /// <summary>Shows the state at the checkpoint: the disk, where it is one; of units each that exists, once, in no
    /// particular order (<see cref="ImageVisitor.OnData"/> and <see cref="ImageVisitor.OnZero"/>); of directories all
    /// layers, lowest first; of other parts their blobs. One bit of memory for each unit. Above a <see cref="Base"/>, what is
    /// there or not otherwise than in its state (<see cref="ImageVisitor.OnUnpopulated"/>, too).</summary>
    /// <param name="visitor">Receives the state. May have seen a part of it when an exception is thrown.</param>
    /// <exception cref="ImageException">An image is damaged.</exception>
    /// <exception cref="InvalidOperationException">There is a <see cref="Base"/>, and the length of a device changed above it:
    /// what became of its last block is known only with the state below.</exception>
    /// <exception cref="IOException">An image cannot be read.</exception>
    public void Visit(ImageVisitor visitor)
    {
        ArgumentNullException.ThrowIfNull(visitor);
        Array.ForEach(_readers, r => r.Restart());
        bool changes = Base != Guid.Empty;
        if (changes && Mergeable() < Links.Count)
        {
            throw new InvalidOperationException("Images between which a device's length changed are not merged.");
        }

        var newest = new NewestCopies(visitor, Header.UnitCount, Header.UnitSize, changes);
        for (int i = 0; i < _readers.Length; i++)
        {
            newest.Limit = Math.Min(newest.Limit, _readers[i].Header.UnitCount);
            if (Header.NeedsDisk)
            {
                newest.Length = Math.Min(newest.Length, VisitDisk(i, visitor));
            }

            for (int record = _records[i].Length - 1; record >= First && Header.HasUnits; record--)
            {
                _readers[i].ReadRecordAt(_records[i][record], newest);
            }
        }

        if (!Header.HasUnits)
        {
            VisitBlobs(visitor);
        }
        else if (changes)
        {
            newest.TakeAway(Header.UnitCount);
        }

        Array.ForEach(_readers, r => r.CheckTotals());
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (ImageReader reader in _readers)
        {
            reader.Dispose();
        }
    }

    private static IReadOnlyList<ChainLink> Above(Guid onto, IReadOnlyList<ChainLink> links)
    {
        if (onto == Guid.Empty)
        {
            return links;
        }

        ChainLink[] above = [.. links.TakeWhile(l => l.Checkpoint.Id != onto)];
        return above.Length > 0 && above.Length < links.Count
            ? above
            : throw new ChainBrokenException($"Checkpoint {onto} is not below {links[0].Checkpoint.Id}.");
    }

    // The newest image's disk is the one that the state has. An image says which disk it is of in this record only.
    // Returns its length.
    private long VisitDisk(int image, ImageVisitor visitor)
    {
        var found = new DiskVisitor();
        _readers[image].ReadRecordAt(_records[image][0], found);
        ManifestPart part = Links[image].Part;
        if (found.Disk!.Name != part.Name)
        {
            throw new ImageCorruptException(
                _readers[image].File, _records[image][0],
                $"the image is of disk {found.Disk.Name}, the manifest says {part.Name}");
        }

        if (image == 0)
        {
            visitor.OnDisk(found.Disk);
        }

        return found.Disk.Length;
    }

    // The lowest layers are those of the full image.
    private void VisitBlobs(ImageVisitor visitor)
    {
        var layers = new HashSet<string>(StringComparer.Ordinal);
        for (int i = _readers.Length - 1; i >= 0; i--)
        {
            var once = new OnceEach(visitor, layers, _readers[i].File);
            foreach (long record in _records[i].AsSpan(First))
            {
                _readers[i].ReadRecordAt(record, once);
            }
        }
    }

    private static Chain Open(ICheckpointStore store, Guid domain, IReadOnlyList<ChainLink> links)
    {
        var readers = new List<ImageReader>();
        try
        {
            foreach (ChainLink link in links)
            {
                string path = store.PathOf(link.Checkpoint.Epoch, link.Part.File);
                Stream stream = store.OpenRead(link.Checkpoint.Epoch, link.Part.File);
                try
                {
                    readers.Add(new ImageReader(stream, path));
                }
                catch
                {
                    stream.Dispose();
                    throw;
                }

                ImageHeader header = readers[^1].Header;
                if (Expectation.Problem(header, link.Checkpoint, domain, link.Part) is { } problem)
                {
                    throw new ImageCorruptException(path, 0, problem);
                }

                if (link.Part.Length != stream.Length)
                {
                    throw new ImageCorruptException(
                        path, 0, $"the file has {stream.Length} bytes, the manifest says {link.Part.Length}");
                }

                if (header.UnitSize != readers[0].Header.UnitSize)
                {
                    throw new ImageCorruptException(path, 88, "the unit differs from that of the images above");
                }
            }

            long[][] records = [.. readers.Select(r => r.ScanRecords().ToArray())];
            for (int i = 0; i < links.Count; i++)
            {
                if (readers[i].Digest != links[i].Part.Digest)
                {
                    throw new ImageCorruptException(readers[i].File, 0, ImageReader.WrongDigest);
                }

                if (readers[i].Trailer!.Closing != links[i].Checkpoint.Closing)
                {
                    throw new ImageCorruptException(
                        readers[i].File, 0, "index, time or label differ from those of the manifest");
                }
            }

            return new Chain(links, [.. readers], records);
        }
        catch
        {
            readers.ForEach(r => r.Dispose());
            throw;
        }
    }

    // A layer is in a chain once.
    private sealed class OnceEach(ImageVisitor target, HashSet<string> names, string file) : ImageVisitor
    {
        private bool _open;

        public override void OnBlob(string name, ReadOnlySpan<byte> part, bool last)
        {
            if (!_open && !names.Add(name))
            {
                throw new ImageCorruptException(file, 0, $"an image below holds {name} already");
            }

            _open = !last;
            target.OnBlob(name, part, last);
        }
    }
}
