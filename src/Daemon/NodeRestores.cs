using Grpc.Core;
using XenTwoLevelCkpt.Checkpointing.Restore;
using XenTwoLevelCkpt.Daemon.Checkpoints;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Rpc;
using V1 = XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Daemon;

/// <summary>Restores that an operator asks for.</summary>
internal sealed class NodeRestores(NodeCore core, DirectoryStore store, NodeStateFile file, CheckpointQueue queue)
{
    /// <summary>As <see cref="NodeDaemon.RestoreAsync"/>.</summary>
    internal async Task<V1.RestoreResult> RestoreAsync(
        V1.RestoreRequest request, IProgress<double>? progress, CancellationToken cancellationToken)
    {
        CheckpointManifest manifest = store.Find(request.Checkpoint);
        List<ManifestDomain> wanted = Wanted(manifest, request);
        if (file.State.Pending is { } pending)
        {
            throw Problems.Interrupted(pending);
        }

        if (core.Settings.Nodes.Count > 1 && !request.HasNewName)
        {
            // Other nodes' guests have heard of what is undone, and this one's of what others have not sent then.
            throw StatusException.Because(
                StatusCode.FailedPrecondition, Problems.Cluster,
                $"{core.Settings.Node} is a node of a cluster, and its domains cannot go back alone. 'xtlctl cluster recover --at {manifest.Closing.Index}' takes "
                + "all nodes to the line of this checkpoint; '--as NAME' makes a copy of one domain.");
        }

        if (!await core.Turn.WaitAsync(0, cancellationToken).ConfigureAwait(false))
        {
            throw Problems.IsBusy("A checkpoint, a recovery or another restore is under way; ask again when it has ended.");
        }

        try
        {
            core.SetState(V1.NodeState.Restoring);
            using var giveUp = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, core.Stop.Token);
            return await Task.Run(() => Restore(manifest, wanted, request, progress, giveUp.Token), CancellationToken.None)
                .ConfigureAwait(false);
        }
        finally
        {
            core.SetState(V1.NodeState.Ready);
            _ = core.Turn.Release();
            queue.Wake();
        }
    }

    private static List<ManifestDomain> Wanted(CheckpointManifest manifest, V1.RestoreRequest request)
    {
        var wanted = new List<ManifestDomain>();
        foreach (string name in request.Domains)
        {
            try
            {
                wanted.Add(manifest.FindDomain(name));
            }
            catch (CheckpointNotFoundException e)
            {
                throw StatusException.Because(StatusCode.NotFound, Problems.Domain, e.Message, e);
            }
        }

        wanted = request.Domains.Count == 0 ? [.. manifest.Domains] : [.. wanted.Distinct()];
        if (wanted.Count == 0)
        {
            throw StatusException.Because(
                StatusCode.NotFound, Problems.Domain, $"Checkpoint {manifest.Id} is one of a node without domains.");
        }

        if (request.HasNewName && (wanted.Count != 1 || request.DisksOnly || request.NewName.Length == 0))
        {
            throw StatusException.Because(
                StatusCode.InvalidArgument, Problems.NewName,
                "A new name is for one domain that is restored: name the domain, and leave out 'disks only'.");
        }

        if (request.DisksOnly && !wanted.Any(HasDisks))
        {
            throw new CheckpointNotFoundException($"Checkpoint {manifest.Id} has no disks.");
        }

        return wanted;
    }

    /// <summary>True where a checkpoint has disks of a domain.</summary>
    /// <param name="domain">The domain.</param>
    internal static bool HasDisks(ManifestDomain domain) =>
        domain.Parts.Any(p => p.Content is ImageContent.BlockDevice or ImageContent.Directory);

    private V1.RestoreResult Restore(
        CheckpointManifest manifest, List<ManifestDomain> wanted, V1.RestoreRequest request, IProgress<double>? progress,
        CancellationToken cancellationToken)
    {
        var result = new V1.RestoreResult { CheckpointId = $"{manifest.Id}" };
        List<Guid> uuids = [.. wanted.Select(d => d.Uuid)];
        if (request.DisksOnly)
        {
            new Restorer(store).Verify(manifest, uuids, memory: false, disks: true, cancellationToken);
            foreach (ManifestDomain domain in Restorer.RestoreDisks(manifest, uuids, core.Platform.DiskRestorer(store)))
            {
                result.Domains.Add(new V1.RestoredDomain { Uuid = $"{domain.Uuid}", Name = domain.Name });
            }

            return result;
        }

        foreach (DomainInfo there in core.Hypervisor.ListDomains(cancellationToken))
        {
            if (request.HasNewName ? there.Name == request.NewName : wanted.Exists(d => d.Uuid == there.Uuid || d.Name == there.Name))
            {
                throw StatusException.Because(
                    StatusCode.AlreadyExists, Problems.Domain,
                    $"There is a domain {there.Name} with id {there.Id} and UUID {there.Uuid} already.");
            }
        }

        IReadOnlyList<IDomain> restored = new Restorer(store).Restore(
            core.Hypervisor, manifest, uuids, request.HasNewName ? request.NewName : null,
            wanted.Exists(HasDisks) ? core.Platform.DiskRestorer(store) : null, progress, cancellationToken);
        core.Platform.Running(restored);
        result.Domains.AddRange(restored.Select(Messages.From));
        core.Log.Restored(string.Join(", ", result.Domains.Select(d => d.Name)), manifest.Id);
        foreach (IDomain domain in restored)
        {
            domain.Dispose();
        }

        return result;
    }
}
