using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Images.Chains;

/// <summary>Replaces an increment by a full image of the same state, or by an increment upon an older one.</summary>
public static class Folding
{
    /// <summary>Folds one part of a checkpoint. Checkpoints that build upon it do so as before: an identity names a
    /// state, whichever file holds it.</summary>
    /// <param name="store">The store.</param>
    /// <param name="checkpoint">The checkpoint's identity.</param>
    /// <param name="domain">The domain's UUID.</param>
    /// <param name="content">What the part holds.</param>
    /// <param name="name">The disk's name; empty for other parts.</param>
    /// <param name="options">How to write; the defaults where null.</param>
    /// <returns>True where it was folded; false where it is full already.</returns>
    /// <remarks>Needs memory for one bit a unit, and room in the store for the full image beside the increment. The
    /// increment is removed after the manifest that names the full image is durable.</remarks>
    /// <exception cref="ChainBrokenException">A parent is not in the store; nothing has changed.</exception>
    /// <exception cref="ImageException">An image of the chain is damaged; nothing has changed.</exception>
    /// <exception cref="InvalidOperationException">The checkpoint is being rewritten already.</exception>
    /// <exception cref="IOException">The store could not be read or written; it says the same as before.</exception>
    public static bool Fold(
        ICheckpointStore store, Guid checkpoint, Guid domain, ImageContent content, string name = "",
        ImageWriterOptions? options = null) =>
        Replace(store, checkpoint, domain, content, name, Guid.Empty, options);

    /// <summary>Replaces an increment by one of the same state that builds upon an older checkpoint: it holds what it held, and
    /// what the images between the two hold. They are not needed by it any more.</summary>
    /// <param name="store">The store.</param>
    /// <param name="checkpoint">The checkpoint's identity.</param>
    /// <param name="domain">The domain's UUID.</param>
    /// <param name="content">What the part holds.</param>
    /// <param name="name">The disk's name; empty for other parts.</param>
    /// <param name="onto">The older checkpoint, which the part builds upon by way of others.</param>
    /// <param name="options">How to write; the defaults where null.</param>
    /// <returns>True where it was merged; false where it builds upon that one already.</returns>
    /// <exception cref="ChainBrokenException">The part does not build upon it; nothing has changed.</exception>
    /// <exception cref="ImageException">An image of the chain is damaged; nothing has changed.</exception>
    /// <exception cref="InvalidOperationException">The checkpoint is being rewritten already, or a device's length changed in
    /// between; nothing has changed.</exception>
    /// <exception cref="IOException">The store could not be read or written; it says the same as before.</exception>
    public static bool Merge(
        ICheckpointStore store, Guid checkpoint, Guid domain, ImageContent content, string name, Guid onto,
        ImageWriterOptions? options = null) =>
        Replace(store, checkpoint, domain, content, name, onto, options);

    private static bool Replace(
        ICheckpointStore store, Guid checkpoint, Guid domain, ImageContent content, string name, Guid onto,
        ImageWriterOptions? options)
    {
        using Chain chain = Chain.Open(store, checkpoint, domain, content, name, onto);
        (CheckpointManifest manifest, ManifestPart old) = chain.Links[0];
        if (old.ParentId == onto)
        {
            return false;
        }

        using ICheckpointTransaction transaction = store.Rewrite(manifest.Epoch);

        // Other parts of the checkpoint may have been folded since the chain was opened; this one may, too.
        manifest = store.Checkpoints.Single(m => m.Epoch == manifest.Epoch);
        if (manifest.Find(domain, content, name) != old || (onto != Guid.Empty && !transaction.Protect(onto)))
        {
            return false;
        }

        string file = NewName(manifest, domain, old);
        ManifestPart part;
        using (var writer = new ImageWriter(
            transaction.Create(file),
            chain.Header with
            {
                ParentId = onto,
                Kind = onto == Guid.Empty ? ImageKind.Full : ImageKind.Increment,
                Synthetic = onto == Guid.Empty,
                Created = DateTimeOffset.UtcNow,
            },
            store.PathOf(manifest.Epoch, file),
            options))
        {
            chain.Visit(new Into(writer));
            ImageSummary summary = writer.Complete(chain.Trailer.Closing);
            part = old with
            {
                ParentId = onto,
                File = file,
                Length = summary.Length,
                Digest = summary.Digest,
            };
        }

        transaction.Commit(manifest with
        {
            Domains =
            [
                .. manifest.Domains.Select(d => d.Uuid != domain ? d : d with
                {
                    Parts = [.. d.Parts.Select(p => p == old ? part : p)],
                }),
            ],
        });
        return true;
    }

    private static string NewName(CheckpointManifest manifest, Guid domain, ManifestPart old)
    {
        for (int generation = 1; ; generation++)
        {
            string file = PartNames.For(domain, old.Content, old.Name, generation);
            if (!manifest.Files.Contains(file, StringComparer.Ordinal))
            {
                return file;
            }
        }
    }

    private sealed class Into(ImageWriter writer) : ImageVisitor
    {
        public override void OnData(PfnRun run, ReadOnlySpan<byte> data) => writer.AddUnits(run, data);

        public override void OnZero(PfnRun run) => writer.AddZero(run);

        public override void OnUnpopulated(PfnRun run) => writer.AddUnpopulated(run);

        public override void OnBlob(string name, ReadOnlySpan<byte> part, bool last) =>
            writer.AddBlobPart(name, part, last);

        public override void OnDisk(DiskInfo disk) => writer.AddDisk(disk);
    }
}
