using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;

namespace XenTwoLevelCkpt.Images.Verification;

/// <summary>Checks images, chains and stores, without a hypervisor. Reports all that it finds.</summary>
public static class Verifier
{
    /// <summary>Checks one image by itself.</summary>
    /// <param name="image">The image, positioned at its start; is closed.</param>
    /// <param name="file">The file's name for the findings.</param>
    /// <returns>What is wrong; empty for a whole image. A damaged record does not hide those behind it.</returns>
    public static IReadOnlyList<Finding> VerifyImage(Stream image, string file)
    {
        var findings = new List<Finding>();
        Read(image, file, findings, out _)?.Dispose();
        return findings;
    }

    /// <summary>Checks all checkpoints of a store: every byte of every image and manifest, and that every chain has
    /// all its images.</summary>
    /// <param name="store">The store.</param>
    /// <param name="progress">Learns of each image that was checked, with what was found; may be null.</param>
    /// <param name="meaning">Says what is wrong with what the images of a domain mean, as a sentence without its full stop, or
    /// null; asked where its registers and memory are whole. Null where only the format is checked.</param>
    /// <param name="cancellationToken">Stops between two images.</param>
    public static IReadOnlyList<Finding> VerifyStore(
        ICheckpointStore store, Action<VerificationStep>? progress = null,
        Func<CheckpointManifest, ManifestDomain, string?>? meaning = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(store);
        var findings = new List<Finding>(store.Problems);
        var seen = new Dictionary<(Guid, Guid, ImageContent, string), Seen>();
        IReadOnlyList<CheckpointManifest> checkpoints = store.Checkpoints;
        int images = 0, total = checkpoints.Sum(m => PartsOf(m).Count());
        progress?.Invoke(new VerificationStep(images, total, [.. findings]));
        foreach (CheckpointManifest manifest in checkpoints)
        {
            foreach ((ManifestDomain domain, ManifestPart part) in PartsOf(manifest))
            {
                cancellationToken.ThrowIfCancellationRequested();
                int before = findings.Count;
                if (VerifyPart(store, manifest, domain.Uuid, part, findings) is { } image)
                {
                    seen[(manifest.Id, domain.Uuid, part.Content, part.Name)] = image;
                }

                progress?.Invoke(new VerificationStep(++images, total, findings[before..]));
            }
        }

        int links = findings.Count;

        foreach (CheckpointManifest manifest in checkpoints)
        {
            VerifyLinks(store, checkpoints, manifest, seen, findings);
            findings.AddRange(VerifyMeaning(store, manifest, meaning));
        }

        if (findings.Count > links)
        {
            progress?.Invoke(new VerificationStep(images, total, findings[links..]));
        }

        return findings;
    }

    /// <summary>Checks the images that one part of a checkpoint needs.</summary>
    /// <param name="store">The store.</param>
    /// <param name="checkpoint">The checkpoint's identity.</param>
    /// <param name="domain">The domain's UUID.</param>
    /// <param name="content">What the part holds.</param>
    /// <param name="name">The disk's name; empty for other parts.</param>
    /// <exception cref="ChainBrokenException">A checkpoint or its part is not in the store.</exception>
    public static IReadOnlyList<Finding> VerifyChain(
        ICheckpointStore store, Guid checkpoint, Guid domain, ImageContent content, string name = "")
    {
        var findings = new List<Finding>();
        int? unitSize = null;
        var layers = new HashSet<string>(StringComparer.Ordinal);
        foreach ((CheckpointManifest manifest, ManifestPart part) in
            Chain.Resolve(store, checkpoint, domain, content, name))
        {
            if (VerifyPart(store, manifest, domain, part, findings) is not { } image)
            {
                continue;
            }

            if (image.Layers.Any(l => !layers.Add(l)))
            {
                findings.Add(new Finding(
                    store.PathOf(manifest.Epoch, part.File), 0, "an image above holds one of its layers already"));
            }

            if (image.UnitSize != (unitSize ??= image.UnitSize))
            {
                findings.Add(new Finding(
                    store.PathOf(manifest.Epoch, part.File), 88, "the unit differs from that of the images above"));
            }
        }

        return findings;
    }

    /// <summary>Asks of each domain of a checkpoint what is wrong with what its images mean.</summary>
    /// <param name="store">The store.</param>
    /// <param name="checkpoint">The checkpoint.</param>
    /// <param name="meaning">Says what is wrong, as a sentence without its full stop, or null.</param>
    public static IEnumerable<Finding> VerifyMeaning(
        ICheckpointStore store, CheckpointManifest checkpoint, Func<CheckpointManifest, ManifestDomain, string?>? meaning)
    {
        ArgumentNullException.ThrowIfNull(store);
        ArgumentNullException.ThrowIfNull(checkpoint);
        foreach (ManifestDomain domain in checkpoint.Domains)
        {
            if (meaning?.Invoke(checkpoint, domain) is { } problem)
            {
                string? file = checkpoint.Find(domain.Uuid, ImageContent.Registers)?.File;
                yield return new Finding(store.PathOf(checkpoint.Epoch, file ?? ManifestFile.Name), 0, problem);
            }
        }
    }

    private static IEnumerable<(ManifestDomain Domain, ManifestPart Part)> PartsOf(CheckpointManifest manifest) =>
        manifest.Entries.SelectMany(d => d.Parts.Select(p => (d, p)));

    private static Seen? VerifyPart(
        ICheckpointStore store, CheckpointManifest manifest, Guid domain, ManifestPart part, List<Finding> findings)
    {
        string path = store.PathOf(manifest.Epoch, part.File);
        try
        {
            using Stream stream = store.OpenRead(manifest.Epoch, part.File);
            long length = stream.Length;
            if (length != part.Length)
            {
                findings.Add(new Finding(
                    path, Math.Min(length, part.Length),
                    $"the file has {length} bytes, the manifest says {part.Length}"));
            }

            using ImageReader? reader = Read(stream, path, findings, out DiskVisitor visitor);
            ImageHeader? header = reader?.Header;
            ImageTrailer? trailer = reader?.Trailer;
            DiskInfo? disk = visitor.Disk;
            if (header is not null && Expectation.Problem(header, manifest, domain, part) is { } problem)
            {
                findings.Add(new Finding(path, 0, problem));
            }

            if (trailer is not null && trailer.Closing != manifest.Closing)
            {
                findings.Add(new Finding(
                    path, length - ImageFormat.EndSize, "index, time or label differ from those of the manifest"));
            }

            if (trailer is not null && (disk?.Name ?? "") != part.Name)
            {
                findings.Add(new Finding(path, 0, $"the image is of disk {disk?.Name}, the manifest says {part.Name}"));
            }

            // Without END there is no digest, and a finding that says why.
            if (reader?.Digest is { } digest && digest != part.Digest)
            {
                findings.Add(new Finding(path, 0, ImageReader.WrongDigest));
            }

            return header is null ? null : new Seen(header.UnitSize, header.NeedsDisk ? [.. visitor.Names] : []);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            findings.Add(new Finding(path, 0, "the file is missing"));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            findings.Add(new Finding(path, 0, e.Message.TrimEnd('.')));
        }

        return null;
    }

    private static ImageReader? Read(Stream stream, string file, List<Finding> findings, out DiskVisitor visitor)
    {
        ImageReader? reader = null;
        visitor = new DiskVisitor();
        bool more = true;
        while (more)
        {
            try
            {
                reader ??= new ImageReader(stream, file);
                more = reader.ReadRecord(visitor);
            }
            catch (ImageException e)
            {
                findings.Add(new Finding(e.File, e.Offset, e.Problem));
                more = reader?.CanGoOn == true;
                if (reader is not null)
                {
                    reader.IgnoreTotals = true;
                }
            }
        }

        return reader;
    }

    private static void VerifyLinks(
        ICheckpointStore store, IReadOnlyList<CheckpointManifest> checkpoints, CheckpointManifest manifest,
        Dictionary<(Guid, Guid, ImageContent, string), Seen> seen, List<Finding> findings)
    {
        string path = store.PathOf(manifest.Epoch, ManifestFile.Name);
        foreach ((ManifestDomain domain, ManifestPart part) in PartsOf(manifest))
        {
            if (part.Kind == ImageKind.Full)
            {
                continue;
            }

            CheckpointManifest? parent = checkpoints.FirstOrDefault(m => m.Id == part.ParentId);
            if (parent?.Find(domain.Uuid, part.Content, part.Name) is null)
            {
                findings.Add(new Finding(
                    path, 0, $"checkpoint {part.ParentId}, which {part.File} builds upon, is not in the store"));
            }
            else if (parent.Epoch >= manifest.Epoch)
            {
                findings.Add(new Finding(path, 0, $"{part.File} builds upon a checkpoint that is not older"));
            }
            else if (seen.TryGetValue((manifest.Id, domain.Uuid, part.Content, part.Name), out Seen? mine)
                && seen.TryGetValue((parent.Id, domain.Uuid, part.Content, part.Name), out Seen? theirs))
            {
                string file = store.PathOf(manifest.Epoch, part.File);
                if (mine.UnitSize != theirs.UnitSize)
                {
                    findings.Add(new Finding(file, 88, "the unit differs from that of its parent"));
                }

                // Checkpoints come by their epochs, so that of the parent this is known already.
                mine.Layers.UnionWith(theirs.Layers);
                if (mine.Layers.Count < mine.Count + theirs.Layers.Count)
                {
                    findings.Add(new Finding(file, 0, "it holds a layer that an image below holds already"));
                }
            }
        }
    }

    // Layers are at first those of the image, later those of all its chain.
    private sealed record Seen(int UnitSize, HashSet<string> Layers)
    {
        internal int Count { get; } = Layers.Count;
    }
}
