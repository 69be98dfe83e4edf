using System.Text.Json;
using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Checkpointing.Restore;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Hypervisor.Xen;
using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;

namespace XenTwoLevelCkpt.Control.Checkpoints;

/// <summary>Commands that use a checkpoint or tidy the store: <c>restore</c>, <c>export</c>, <c>fold</c>,
/// <c>prune</c>.</summary>
internal sealed class RestoreCommand(
    Func<IHypervisor> openHypervisor, Func<ICheckpointStore, Places, IDiskRestorer?> disks, TextWriter output)
{
    internal async Task<int> RestoreAsync(
        Places places, string checkpoint, IReadOnlyList<string> domains, string? newName, bool json,
        CancellationToken cancellationToken)
    {
        using IHypervisor hypervisor = openHypervisor();
        using DirectoryStore store = DirectoryStore.OpenReadOnly(places.Store);
        CheckpointManifest manifest = store.Find(checkpoint);
        List<Guid>? wanted = domains.Count == 0 ? null : [.. domains.Select(d => manifest.FindDomain(d).Uuid)];
        IReadOnlyList<IDomain> restored = await ProgressDisplay.RunAsync("restoring", p => Task.Run(
            () => new Restorer(store).Restore(
                hypervisor, manifest, wanted, newName, HasDisks(manifest) ? disks(store, places) : null, p,
                cancellationToken),
            cancellationToken)).ConfigureAwait(false);
        Print(output, [.. restored.Select(d => (d.Uuid, d.GetInfo().Name ?? "", (int?)d.Id))], manifest.Id, json);
        foreach (IDomain domain in restored)
        {
            domain.Dispose();
        }

        return ExitCodes.Ok;
    }

    internal int RestoreDisks(
        Places places, string checkpoint, IReadOnlyList<string> domains, bool json)
    {
        using DirectoryStore store = DirectoryStore.OpenReadOnly(places.Store);
        CheckpointManifest manifest = store.Find(checkpoint);
        List<Guid>? wanted = domains.Count == 0 ? null : [.. domains.Select(d => manifest.FindDomain(d).Uuid)];
        IDiskRestorer? restorer = HasDisks(manifest) ? disks(store, places) : null;
        if (restorer is null)
        {
            throw new CheckpointNotFoundException($"Checkpoint {manifest.Id} has no disks.");
        }

        new Restorer(store).Verify(manifest, wanted, memory: false, disks: true);
        IReadOnlyList<ManifestDomain> put = Restorer.RestoreDisks(manifest, wanted, restorer);
        Print(output, [.. put.Select(d => (d.Uuid, d.Name, (int?)null))], manifest.Id, json);
        return ExitCodes.Ok;
    }

    /// <summary>Prints what was restored: domains that run and have an id, or the disks of domains that are off.</summary>
    internal static void Print(
        TextWriter output, IReadOnlyList<(Guid Uuid, string Name, int? Id)> restored, Guid checkpoint, bool json)
    {
        if (json)
        {
            output.WriteLine(JsonSerializer.Serialize(
                [.. restored.Select(d => d.Uuid)], CheckpointJsonContext.Default.GuidArray));
            return;
        }

        foreach ((Guid _, string name, int? id) in restored)
        {
            output.WriteLine(id is null
                ? $"{name}: disks are those of checkpoint {checkpoint}"
                : $"domain {name} runs, with id {id}");
        }
    }

    internal int Export(Places places, string checkpoint, string domain, string file, string? newName)
    {
        using DirectoryStore store = DirectoryStore.OpenReadOnly(places.Store);
        CheckpointManifest manifest = store.Find(checkpoint);
        ManifestDomain found = manifest.FindDomain(domain);
        var restorer = new Restorer(store);
        string temporary = file + ".tmp";
        try
        {
            // Memory holds secrets: for its owner alone, from the first byte on.
            using (var stream = new FileStream(temporary, new FileStreamOptions
            {
                Mode = FileMode.Create,
                Access = FileAccess.Write,
                BufferSize = 1 << 20,
                UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
            }))
            {
                RestoreRequest request = restorer.RequestFor(manifest.Id, found.Uuid, newName);
                var target = new XlDomainStream(stream, request);
                restorer.ReadMemory(manifest.Id, found.Uuid, target);
                target.Complete();
                stream.Flush(flushToDisk: true);
            }

            File.Move(temporary, file, overwrite: true);
        }
        catch
        {
            File.Delete(temporary);
            throw;
        }

        output.WriteLine($"{file}: {new FileInfo(file).Length} bytes; 'xl restore {file}' brings the domain back");
        if (found.Parts.Any(p => p.Content is ImageContent.BlockDevice or ImageContent.Directory))
        {
            output.WriteLine(
                $"The file has no disks: 'xtlctl restore --disks-only {manifest.Id}' puts them to the checkpoint's state.");
        }

        return ExitCodes.Ok;
    }

    internal int Fold(Places places, string? checkpoint, bool json)
    {
        using DirectoryStore store = DirectoryStore.Open(places.Store);
        CheckpointManifest manifest = store.Find(checkpoint ?? "latest");
        int folded = 0;
        foreach (ManifestDomain domain in manifest.Domains)
        {
            foreach (ManifestPart part in domain.Parts.Where(p => p.Kind == ImageKind.Increment))
            {
                folded += Folding.Fold(store, manifest.Id, domain.Uuid, part.Content, part.Name) ? 1 : 0;
            }
        }

        return Print(new RetentionJson(folded, 0, [], [], []), json);
    }

    internal int Prune(Places places, RetentionPolicy policy, bool json)
    {
        using DirectoryStore store = DirectoryStore.Open(places.Store);
        RetentionResult result = Retention.Apply(store, policy, DateTimeOffset.UtcNow);
        return Print(RetentionJson.From(result), json);
    }

    private int Print(RetentionJson result, bool json)
    {
        if (json)
        {
            output.WriteLine(JsonSerializer.Serialize(result, CheckpointJsonContext.Default.RetentionJson));
        }
        else
        {
            output.WriteLine(
                $"{result.Folded} images folded, {result.Merged} merged, {result.Removed.Count} checkpoints removed");
            foreach (var problem in result.Problems)
            {
                output.WriteLine($"{problem.File}, octet {problem.Offset}: {problem.Problem}");
            }

            foreach (string undone in result.Undone)
            {
                output.WriteLine(undone);
            }
        }

        return result.Problems.Count > 0 ? ExitCodes.Damaged
            : result.Undone.Count > 0 ? ExitCodes.Failure
            : ExitCodes.Ok;
    }

    private static bool HasDisks(CheckpointManifest manifest) =>
        manifest.Domains.Any(d => d.Parts.Any(p => p.Content is ImageContent.BlockDevice or ImageContent.Directory));
}
