using XenTwoLevelCkpt.Images.Format;

namespace XenTwoLevelCkpt.Images.Store;

/// <summary>A part of a checkpoint that is about to be written.</summary>
public sealed record PartSpec
{
    /// <summary>The domain's UUID.</summary>
    public required Guid DomainUuid { get; init; }

    /// <summary>The toolstack's name for the domain; may be empty. Of a domain's parts the one that was begun last tells it, as
    /// a domain may be renamed. A name of more than 255 bytes, or with control
    /// characters, is left out of the manifest.</summary>
    public string DomainName { get; init; } = "";

    /// <summary>What the part holds.</summary>
    public required ImageContent Content { get; init; }

    /// <summary>For an increment, the checkpoint that it builds upon; otherwise <see cref="Guid.Empty"/>.</summary>
    public Guid ParentId { get; init; }

    /// <summary>Bytes of a unit; 0 in parts without units.</summary>
    public int UnitSize { get; init; }

    /// <summary>The highest unit plus one; 0 in parts without units.</summary>
    public long UnitCount { get; init; }

    /// <summary>The disk, in parts that hold one; its name consists of at most 64 of <c>A-Z a-z 0-9 _ -</c>.</summary>
    public DiskInfo? Disk { get; init; }

    /// <summary>How records may be compressed.</summary>
    public ImageCompression Compression { get; init; } = ImageCompression.Lz4;

    /// <summary>How to write; where null, by what suits the content.</summary>
    public ImageWriterOptions? Options { get; init; }
}

/// <summary>The node checkpoint of the open epoch while it is written.</summary>
/// <remarks>
/// Parts may be added and written by several threads, each part by one at a time. Disposing the draft without a
/// commit, or after one that failed, leaves the store as it was.
/// </remarks>
public sealed class CheckpointDraft : IDisposable
{
    private readonly ICheckpointStore _store;
    private readonly string _node;
    private readonly ICheckpointTransaction _transaction;
    private readonly Lock _lock = new();
    private readonly List<(PartSpec Spec, string File, ImageWriter Writer)> _parts = [];
    private long _written;

    /// <summary>Opens an epoch.</summary>
    /// <param name="store">Receives the checkpoint.</param>
    /// <param name="node">The node's name.</param>
    /// <exception cref="ArgumentException">The name cannot be stored.</exception>
    /// <exception cref="IOException">The store cannot be written.</exception>
    public CheckpointDraft(ICheckpointStore store, string node)
    {
        ArgumentNullException.ThrowIfNull(store);
        ArgumentNullException.ThrowIfNull(node);
        _ = Names.Encode(node);
        _store = store;
        _node = node;
        Epoch = store.NextEpoch;
        _transaction = store.Begin(Epoch);
    }

    /// <summary>The checkpoint's identity.</summary>
    public Guid Id { get; } = Guid.NewGuid();

    /// <summary>The epoch.</summary>
    public ulong Epoch { get; }

    /// <summary>Octets of all parts that have gone to the store: a sign that writing goes on. Never waits: while a part is begun
    /// and in a commit it is what it was before.</summary>
    public long Written
    {
        get
        {
            if (_lock.TryEnter())
            {
                try
                {
                    _written = _parts.Sum(p => p.Writer.Length);
                }
                finally
                {
                    _lock.Exit();
                }
            }

            return Volatile.Read(ref _written);
        }
    }

    /// <summary>Begins a part.</summary>
    /// <param name="part">What it is.</param>
    /// <returns>Its writer, which belongs to the draft; the commit completes it.</returns>
    /// <exception cref="InvalidOperationException">The parent is not in the store: the part has to be full.</exception>
    /// <exception cref="ArgumentException">There is no such part, or it was begun already.</exception>
    /// <exception cref="IOException">The store cannot be written.</exception>
    public ImageWriter AddPart(PartSpec part)
    {
        ArgumentNullException.ThrowIfNull(part);
        string disk = part.Disk?.Name ?? "";
        if (part.Content is ImageContent.BlockDevice or ImageContent.Directory ? !Names.IsDisk(disk) : disk != "")
        {
            throw new ArgumentException($"Disk name '{disk}' is not possible for {part.Content}.", nameof(part));
        }

        var header = new ImageHeader
        {
            DomainUuid = part.DomainUuid,
            CheckpointId = Id,
            ParentId = part.ParentId,
            Epoch = Epoch,
            Created = DateTimeOffset.UtcNow,
            Content = part.Content,
            Kind = part.ParentId == Guid.Empty ? ImageKind.Full : ImageKind.Increment,
            Compression = part.Compression,
            UnitSize = part.UnitSize,
            UnitCount = part.UnitCount,
        };
        if ((header.Problem() ?? part.Disk?.Problem(header)) is { } problem)
        {
            throw new ArgumentException($"There is no such part: {problem}.", nameof(part));
        }

        TakeParent(part);
        string file = PartNames.For(part.DomainUuid, part.Content, disk, 0);
        lock (_lock)
        {
            Stream stream = _transaction.Create(file);
            ImageWriter? writer = null;
            try
            {
                writer = new ImageWriter(stream, header, _store.PathOf(Epoch, file), part.Options ?? DefaultsFor(part.Content));
                if (part.Disk is { } info)
                {
                    writer.AddDisk(info);
                }
            }
            catch
            {
                // Nobody has the writer to take the part out with, and it may be begun again: on storage that was full.
                writer?.Dispose();
                _transaction.Remove(file);
                throw;
            }

            _parts.Add((part, file, writer));
            return writer;
        }
    }

    /// <summary>Takes a part out again, with what was written of it.</summary>
    /// <param name="writer">The part's writer.</param>
    /// <exception cref="ArgumentException">It is none of this draft.</exception>
    public void RemovePart(ImageWriter writer)
    {
        ArgumentNullException.ThrowIfNull(writer);
        lock (_lock)
        {
            int index = _parts.FindIndex(p => p.Writer == writer);
            if (index < 0)
            {
                throw new ArgumentException("The writer is none of this draft.", nameof(writer));
            }

            writer.Dispose();
            _transaction.Remove(_parts[index].File);
            _parts.RemoveAt(index);
        }
    }

    /// <summary>Completes all parts and makes the checkpoint durable.</summary>
    /// <param name="closing">Its index, time and label.</param>
    /// <param name="leftOut">Domains that are not part of it; null for none. What a manifest cannot hold of their names and
    /// messages is left out.</param>
    /// <param name="before">What it follows; null where that need not be said.</param>
    /// <returns>The manifest.</returns>
    /// <exception cref="IOException">The store could not be written; it is as it was before.</exception>
    public CheckpointManifest Commit(
        CheckpointClosing closing, IReadOnlyList<LeftOutDomain>? leftOut = null, CheckpointPredecessor? before = null)
    {
        ArgumentNullException.ThrowIfNull(closing);
        lock (_lock)
        {
            closing = closing with { Captured = Timestamp.Rounded(closing.Captured) };
            var parts = new List<(PartSpec Spec, ManifestPart Part)>();
            foreach ((PartSpec spec, string file, ImageWriter writer) in _parts)
            {
                ImageSummary summary = writer.Complete(closing);
                parts.Add((spec, new ManifestPart(
                    spec.Content, spec.Disk?.Name ?? "", spec.ParentId, file, summary.Length, summary.Digest)));
            }

            ILookup<bool, ManifestDomain> entries = parts.GroupBy(p => p.Spec.DomainUuid)
                .OrderBy(g => g.Key)
                .Select(g => new ManifestDomain(g.Key, NameOf(g.Last().Spec), [.. g.Select(p => p.Part)]))
                .ToLookup(d => d.Uuid == CheckpointManifest.NodeId);
            var manifest = new CheckpointManifest
            {
                Id = Id,
                Epoch = Epoch,
                Closing = closing,
                Before = before,
                Node = _node,
                Domains = [.. entries[false]],
                NodeParts = [.. entries[true].SelectMany(e => e.Parts)],
                LeftOut = [.. (leftOut ?? []).Select(Storable)],
            };
            _transaction.Commit(manifest);
            return manifest;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach ((_, _, ImageWriter writer) in _parts)
        {
            writer.Dispose();
        }

        _transaction.Dispose();
    }

    private static ImageWriterOptions DefaultsFor(ImageContent content) =>
        content is ImageContent.Registers or ImageContent.Channels ? ImageWriterOptions.Small : new();

    // Messages quote other programs: they may have lines.
    private static LeftOutDomain Storable(LeftOutDomain domain)
    {
        string message = string.Concat(domain.Message.Select(c => char.IsControl(c) ? ' ' : c));
        return domain with
        {
            Name = Names.IsName(domain.Name) ? domain.Name : "",
            Message = message.Length <= LeftOutDomain.MaxMessageLength ? message : message[..LeftOutDomain.MaxMessageLength],
        };
    }

    // A checkpoint does not fail for what somebody called a domain.
    private static string NameOf(PartSpec part) => Names.IsName(part.DomainName) ? part.DomainName : "";

    // The parent stays in the store while the draft is open.
    private void TakeParent(PartSpec part)
    {
        if (part.ParentId != Guid.Empty
            && (!_transaction.Protect(part.ParentId)
                || _store.Checkpoints.FirstOrDefault(m => m.Id == part.ParentId)
                    ?.Find(part.DomainUuid, part.Content, part.Disk?.Name ?? "") is null))
        {
            throw new InvalidOperationException(
                $"Checkpoint {part.ParentId} with {part.Content} of domain {part.DomainUuid} is not in the store, so "
                + "an increment cannot build upon it; a full image can be written instead.");
        }
    }
}
