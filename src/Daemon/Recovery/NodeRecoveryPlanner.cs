using Grpc.Core;
using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Checkpointing.Restore;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Protocol.Recovery;
using XenTwoLevelCkpt.Rpc;
using V1 = XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Daemon.Recovery;

/// <summary>What the node's part of a recovery is; nothing is changed here.</summary>
internal sealed class NodeRecoveryPlanner(NodeCore core, DirectoryStore store, NodeStateFile file, DomainPolicies policies, NodeChannels channels)
{
    // Checkpoints whose images were found whole for the recovery that is promised.
    private readonly HashSet<Guid> _seenWhole = [];

    /// <summary>What was whole may not be so any more.</summary>
    internal void ForgetSeen() => _seenWhole.Clear();

    /// <summary>The order of a request that makes sense, and what the node does with it.</summary>
    /// <param name="request">The request.</param>
    /// <param name="order">The order.</param>
    /// <exception cref="StatusException">It makes no sense, or the node refuses it.</exception>
    internal OrderVerdict Judge(V1.RecoverRequest request, out RecoveryOrder order)
    {
        RequirePossible(request);
        order = RecoveryMessages.OrderOf(request);
        RecoveryRecords records = RecoveryMessages.From(file.State);
        bool alone = core.Settings.Nodes.Count <= 1;
        int after = alone || request.Phase == V1.RecoverPhase.DryRun ? records.Newest : (int)Math.Min(request.After, int.MaxValue);
        OrderVerdict verdict = alone || request.Phase is V1.RecoverPhase.DryRun or V1.RecoverPhase.Prepare
            ? RecoveryPromises.OnPrepare(records, order, after, out string? why)
            : RecoveryPromises.OnCarryOut(records, order, out why);
        if (verdict == OrderVerdict.CarryOut && file.State.Pending is { } pending && pending.Order == order
            && RecoveryChoices.IsLostIn(pending, channels.Now))
        {
            (verdict, why) = (OrderVerdict.Refuse, "The node has lost its state in the middle of it, and another recovery has to take its place: plan again.");
        }

        return verdict != OrderVerdict.Refuse ? verdict
            : order.Incarnation <= records.Newest && order != records.Begun
                ? throw StatusException.Because(StatusCode.InvalidArgument, Problems.Incarnation, why!)
                : throw StatusException.Because(StatusCode.FailedPrecondition, Problems.Promise, why!);
    }

    private void RequirePossible(V1.RecoverRequest request)
    {
        if (request.Line > long.MaxValue)
        {
            throw StatusException.Because(StatusCode.FailedPrecondition, Problems.Line, "No index is above 2^63 - 1.");
        }

        if (request.Incarnation is 0 or > int.MaxValue)
        {
            throw StatusException.Because(
                StatusCode.InvalidArgument, Problems.Incarnation,
                $"The incarnation {request.Incarnation} is not above the node's, or above {int.MaxValue}.");
        }

        // Every node of a cluster has the same set of names; a node on its own has none.
        foreach (string name in request.Moves.SelectMany(m => new[] { m.Node, m.To }))
        {
            if (name != core.Settings.Node && (name.Length == 0 || (core.Settings.Nodes.Count > 0 && core.Settings.Nodes.All(node => node.Name != name))))
            {
                throw StatusException.Because(
                    StatusCode.NotFound, Problems.Node, $"There is no node '{name}' in this node's configuration.");
            }
        }

        if (request.Moves.Any(m => m.Node == m.To || m.Node == core.Settings.Node)
            || request.Moves.Select(m => m.Node).Distinct().Count() != request.Moves.Count)
        {
            throw StatusException.Because(
                StatusCode.InvalidArgument, Problems.Node,
                $"The moves name {core.Settings.Node} as lost, or a node twice, or one as its own new place.");
        }
    }

    /// <summary>Looks at all that can be wrong before anything is changed.</summary>
    /// <param name="order">What is to be done.</param>
    /// <param name="looks">True to read every octet of the images, which takes as long: for the promise, and once more only where this
    /// process has not.</param>
    /// <exception cref="StatusException">The node cannot do its part.</exception>
    internal RecoveryTask Plan(RecoveryOrder order, bool looks)
    {
        var task = new RecoveryTask(order, channels.Messages is LoneNode, store.LastEpoch());
        try
        {
            Dictionary<Guid, DomainInfo> here = core.Hypervisor.ListDomains()
                .Where(d => d.Id != 0 && !d.State.HasFlag(DomainStates.Dying)).DistinctBy(d => d.Uuid).ToDictionary(d => d.Uuid);
            var own = new StoredPast(core.Settings.Node, store, [.. store.Standing(file.State)], file.State.Incarnation);
            var view = new PartView(file.State, channels.Now, own, task.LastEpoch, here.Keys)
            {
                Lost = node => OpenLost(task, node),
                ReachesPeers = d => ReachesPeers(here[d]),
                NameOf = d => here.GetValueOrDefault(d)?.Name ?? $"{d}",
                IsAlone = task.IsAlone,
            };
            if (!PartPlanner.TryPlan(view, order, out RecoveryPart? part, out PartRefusal? refusal))
            {
                throw StatusException.Because(StatusCode.FailedPrecondition, refusal.Reason, refusal.Why);
            }

            if (part is RollBackPart back)
            {
                task.Member = own.Manifest(back.Member.Epoch);
                task.Newer = [.. back.Newer.Select(d => here[d])];
                RequireWhole(store, task.Member, looks);
            }

            foreach (AdoptedMember lost in part.Adopted)
            {
                StoredPast past = task.Lost[lost.Node];
                task.Adopted.Add(new AdoptedNode(lost.Node, past.Store, past.Manifest(lost.Epoch)));
                RequireWhole(past.Store, past.Manifest(lost.Epoch), looks);
            }

            HashSet<Guid> going =
            [
                .. (task.Member?.Domains ?? []).Concat(task.Adopted.SelectMany(a => a.Member.Domains)).Select(d => d.Uuid),
                .. task.Newer.Select(d => d.Uuid),
            ];
            RequireFit(task, going);
            task.Staying = [.. here.Values.Where(d => !going.Contains(d.Uuid))];
            return task;
        }
        catch
        {
            // Nothing is promised upon what was seen of it.
            _seenWhole.Clear();
            task.Dispose();
            throw;
        }
    }

    // xl finds it out one domain after the other, when those of before are gone.
    private void RequireFit(RecoveryTask task, HashSet<Guid> going)
    {
        (DirectoryStore Store, CheckpointManifest Member)[] members =
            [.. task.Member is { } own ? [(store, own)] : Array.Empty<(DirectoryStore, CheckpointManifest)>(), .. task.Adopted.Select(a => (a.Store, a.Member))];
        List<string> obstacles =
        [
            .. core.Hypervisor.FindObstacles(
                [.. members.SelectMany(m => m.Member.Domains.Select(d => new Restorer(m.Store).RequestFor(m.Member.Id, d.Uuid)))], going),
        ];
        foreach ((DirectoryStore from, CheckpointManifest member) in members.Where(m => m.Member.Domains.Any(NodeRestores.HasDisks)))
        {
            IDiskRestorer disks = core.Platform.DiskRestorer(from);
            obstacles.AddRange(member.Domains.Where(NodeRestores.HasDisks).Select(d => disks.FindObstacle(member, d)).OfType<string>());
        }

        if (obstacles.Count > 0)
        {
            throw StatusException.Because(
                StatusCode.FailedPrecondition, Problems.Host, $"{core.Settings.Node} cannot bring back what line {task.Order.Line} has: {string.Join(' ', obstacles)}");
        }
    }

    // Only these can have what other nodes' guests sent in the time that is undone.
    private bool ReachesPeers(DomainInfo domain)
    {
        if (core.Settings.Nodes.Count <= 1 || policies.Of(domain.Uuid, domain.Name) is { Include: false })
        {
            return false;
        }

        try
        {
            using IDomain there = core.Hypervisor.OpenDomain(domain.Uuid);
            return core.Platform.ReachesPeers(there.GetConfiguration(), core.Settings);
        }
        catch (HypervisorException)
        {
            // It is going, or is of a kind that no checkpoint covers.
            return false;
        }
    }

    private void RequireWhole(DirectoryStore from, CheckpointManifest member, bool looks)
    {
        var restorer = new Restorer(from);
        if (looks && member.Domains.Count > 0 && !_seenWhole.Contains(member.Id))
        {
            restorer.Verify(member, null, memory: true, disks: true);
            _ = _seenWhole.Add(member.Id);
        }

        _ = restorer.ReadNodeState(member);
    }

    private StoredPast OpenLost(RecoveryTask task, string node)
    {
        DirectoryStore lost = OpenLost(node);
        task.Stores.Add(lost);
        return task.Lost[node] = new StoredPast(
            node, lost, lost.Checkpoints, NodeMessenger.IncarnationOf(NodeSettings.ChannelLogOf(lost.Root)));
    }

    private DirectoryStore OpenLost(string node)
    {
        if (node == core.Settings.Node)
        {
            throw StatusException.Because(
                StatusCode.NotFound, Problems.Node, $"{node} is this node: its domains go back without being named.");
        }

        string? folder = core.Settings.Shared is { } shared && node == Path.GetFileName(node) && node is not ("." or "..")
            ? Path.Combine(shared, node)
            : null;
        return folder is not null && Directory.Exists(folder)
            ? DirectoryStore.OpenReadOnly(folder)
            : throw StatusException.Because(
                StatusCode.NotFound, Problems.Node,
                core.Settings.Shared is null
                    ? "This node's configuration has no 'shared' directory that could have the stores of other nodes."
                    : $"{core.Settings.Shared} has no store of a node '{node}'.");
    }
}
