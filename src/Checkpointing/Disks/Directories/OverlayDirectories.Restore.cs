using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.NativeInterop.Files;

namespace XenTwoLevelCkpt.Checkpointing.Disks.Directories;

/// <content>Restores.</content>
public sealed partial class OverlayDirectories
{
    /// <summary>Makes sure that a directory is here, or can be made.</summary>
    /// <param name="root">The folder that it is in.</param>
    /// <exception cref="DiskException">Something else is in the folder.</exception>
    public void RequirePlace(string root)
    {
        if (registry.Read().Directories.All(d => d.Root != root) && Directory.Exists(root) && Directory.EnumerateFileSystemEntries(root).Any())
        {
            throw new DiskException($"{root} is not empty, and no directory of this software. Move away what is there.");
        }
    }

    /// <summary>Puts a directory to the state that a chain of images has. What it was is kept.</summary>
    /// <param name="name">The directory.</param>
    /// <param name="chain">The images.</param>
    /// <param name="checkpoint">The checkpoint, for the record.</param>
    /// <exception cref="DiskException">The directory is in use, or the state cannot be written; the directory is as it was.
    /// </exception>
    /// <exception cref="IOException">A file cannot be made; the directory is as it was.</exception>
    /// <exception cref="ImageException">An image is damaged; the directory is as it was.</exception>
    public void Put(string name, Chain chain, Guid checkpoint)
    {
        ArgumentNullException.ThrowIfNull(chain);
        DirectoryRecord record = Settle(name);
        RequireUnused(record);
        var places = new DirectoryPlaces(record);
        DropRestoring(name);
        try
        {
            var filler = new Filler(places, () => NextRestored(name), () => Fault?.Invoke(DirectoryStep.LayerRestored));
            using (filler)
            {
                chain.Visit(filler);
            }

            IReadOnlyList<LayerRecord> layers = Reduce(name, places, filler.Layers);
            int upper = NextRestored(name);
            places.MakeLayer(upper);
            RaiseLinked(places, layers, upper);
            Fault?.Invoke(DirectoryStep.LayersRestored);

            // From here on the directory is the restored one; the mount follows.
            record = registry.Update(s =>
            {
                DirectoryRecord old = s.Directory(name);
                int[] used = [.. layers.Select(l => l.Id), upper];
                return s.With(old with
                {
                    Layers = layers,
                    Upper = upper,
                    Sealed = null,
                    Restoring = [],
                    Unwanted = [.. old.Unwanted.Union(old.Restoring.Except(used))],
                    Kept = [.. old.Kept, new KeptLayers(old.Layers, old.Upper, DateTimeOffset.UtcNow, checkpoint)],
                });
            }).Directory(name);
        }
        catch
        {
            DropRestoring(name);
            throw;
        }

        Fault?.Invoke(DirectoryStep.RestoreRecorded);
        try
        {
            Remount(record);
        }
        catch
        {
            TakeBack(name);
            throw;
        }

        Purge(name);
    }

    /// <summary>Gives a directory back what it was before its last restore, and drops what it was restored to.</summary>
    /// <param name="name">The directory.</param>
    /// <exception cref="DiskException">Nothing is kept, or the directory is in use.</exception>
    public void TakeBack(string name)
    {
        DirectoryRecord record = Settle(name);
        RequireUnused(record);
        record = registry.Update(s =>
        {
            DirectoryRecord now = s.Directory(name);
            KeptLayers kept = now.Kept is [.., { } last]
                ? last
                : throw new DiskException($"Nothing is kept of directory {name}.");
            return s.With(now with
            {
                Layers = kept.Layers,
                Upper = kept.Upper,
                Sealed = null,
                Kept = [.. now.Kept.SkipLast(1)],
                Unwanted = [.. now.Unwanted.Union([.. now.Layers.Select(l => l.Id), now.Upper])],
            });
        }).Directory(name);
        Remount(record);
        Purge(name);
    }

    private static void Remount(DirectoryRecord record)
    {
        var places = new DirectoryPlaces(record);
        places.MarkLive(record.Upper);
        places.MountData(places.Options(record.Layers, record.Upper));
    }

    // Files with several names belong into the upper layer, with all of their names that are seen.
    private static void RaiseLinked(DirectoryPlaces places, IReadOnlyList<LayerRecord> layers, int upper)
    {
        var names = new List<string>();
        places.ReadTogether(layers, tree => UpperScan.Visit(tree, (name, stat) =>
        {
            if (stat is { Type: RawFileType.Regular, Links: > 1 })
            {
                names.Add(name);
            }
        }));
        string target = places.Layer(upper), root = places.Layer(layers[^1].Id);

        // All directories before the first move, which changes the time of the one that a file leaves.
        RawStat top = RawFiles.Stat(root);
        var made = new List<(string Path, RawTime Time)>();
        names.ForEach(n => Trees.MakeDirectories(Highest, target, Trees.ParentOf(n), made));
        names.ForEach(n => RawFiles.Rename(Highest(n), $"{target}/{n}"));
        made.ForEach(m => RawFiles.SetModified(m.Path, m.Time));
        Trees.CopyAttributes(root, target, top);

        // Where a name is seen, the highest layer that has it is the one it is seen in.
        string Highest(string name) => layers.Reverse().Select(l => $"{places.Layer(l.Id)}/{name}")
            .First(p => RawFiles.TryStat(p) is not null);
    }

    // An overlay has one lower layer at least, and not too many.
    private List<LayerRecord> Reduce(string name, DirectoryPlaces places, List<LayerRecord> layers)
    {
        if (layers.Count == 0)
        {
            layers.Add(new LayerRecord(NextRestored(name), Guid.NewGuid()));
            places.MakeLayer(layers[0].Id);
        }

        if (layers.Count - 1 <= DirectoryDisk.MaxLayers)
        {
            return layers;
        }

        int id = NextRestored(name);
        places.MakeLayer(id);
        LayerMerge.Merge([.. layers.Skip(1).Select(l => places.Layer(l.Id))], places.Layer(id));

        // At once: files of the merged layer would have more names than they have.
        layers.Skip(1).ToList().ForEach(l => places.RemoveLayer(l.Id));
        return [layers[0], new LayerRecord(id, layers[^1].SealedBy)];
    }

    private int NextRestored(string name) => registry.Update(s =>
    {
        DirectoryRecord now = s.Directory(name);
        return s.With(now with { LastId = now.LastId + 1, Restoring = [.. now.Restoring, now.LastId + 1] });
    }).Directory(name).LastId;

    private void DropRestoring(string name)
    {
        _ = registry.Update(s =>
        {
            DirectoryRecord now = s.Directory(name);
            return s.With(now with { Restoring = [], Unwanted = [.. now.Unwanted.Union(now.Restoring)] });
        });
        Purge(name);
    }

    private sealed class Filler(DirectoryPlaces places, Func<int> next, Action done) : ImageVisitor, IDisposable
    {
        private LayerExtractor? _extractor;

        internal List<LayerRecord> Layers { get; } = [];

        public void Dispose() => _extractor?.Dispose();

        public override void OnBlob(string name, ReadOnlySpan<byte> part, bool last)
        {
            if (_extractor is null)
            {
                int id = next();
                places.MakeLayer(id);
                Layers.Add(new LayerRecord(id, Guid.Parse(name)));
                _extractor = new LayerExtractor(places.Layer(id));
            }

            _extractor.Write(part);
            if (last)
            {
                _extractor.Complete();
                _extractor.Dispose();
                _extractor = null;
                done();
            }
        }
    }
}
