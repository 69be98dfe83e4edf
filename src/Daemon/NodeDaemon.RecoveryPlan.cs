using Grpc.Core;
using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Checkpointing.Restore;
using XenTwoLevelCkpt.Daemon.Recovery;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Protocol.Recovery;
using XenTwoLevelCkpt.Rpc;
using V1 = XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Daemon;

/// <content>What the node's part of a recovery is; nothing is changed here.</content>
public sealed partial class NodeDaemon
{
    // What the node has on disk about recoveries, for whoever leads the next one.
    private void Describe(V1.Node node)
    {
        if (_file?.State is not { } state)
        {
            return;
        }

        if (state.Promised is { } promised)
        {
            node.Promise = RecoveryMessages.From(promised, done: false, []);
        }

        if (state.Pending is { } pending)
        {
            node.Recovery = RecoveryMessages.From(pending.Order, done: false, []);
            node.Recovery.LostInIt = _messages is not null && RecoveryChoices.IsLostIn(pending, MessagesNow);
        }
        else if (state.Last is { } last)
        {
            node.Recovery = RecoveryMessages.From(
                last.Order, done: true, last.Order.Moves.Where(m => m.To == _settings.Node && IsSettled(m, last.Order)).Select(m => m.Node));
        }
    }

    // A node without peers has nobody whose checkpoints it would have to wait for.
    private bool IsSettled(DomainMove move, RecoveryOrder order) => _messages is LoneNode
        ? _messages.DurableIndex > order.Line
        : _file!.State.Departures.Any(d => d.Node == move.Node && d.Settled);

    // The order of a request that makes sense, and what the node does with it.
    private OrderVerdict Judge(V1.RecoverRequest request, out RecoveryOrder order)
    {
        RequirePossible(request);
        order = RecoveryMessages.OrderOf(request);
        RecoveryRecords records = RecoveryMessages.From(_file!.State);
        bool alone = _settings.Nodes.Count <= 1;
        int after = alone || request.Phase == V1.RecoverPhase.DryRun ? records.Newest : (int)Math.Min(request.After, int.MaxValue);
        OrderVerdict verdict = alone || request.Phase is V1.RecoverPhase.DryRun or V1.RecoverPhase.Prepare
            ? RecoveryPromises.OnPrepare(records, order, after, out string? why)
            : RecoveryPromises.OnCarryOut(records, order, out why);
        if (verdict == OrderVerdict.CarryOut && _file.State.Pending is { } pending && pending.Order == order
            && RecoveryChoices.IsLostIn(pending, MessagesNow))
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
            if (name != _settings.Node && (name.Length == 0 || (_settings.Nodes.Count > 0 && _settings.Nodes.All(node => node.Name != name))))
            {
                throw StatusException.Because(
                    StatusCode.NotFound, Problems.Node, $"There is no node '{name}' in this node's configuration.");
            }
        }

        if (request.Moves.Any(m => m.Node == m.To || m.Node == _settings.Node)
            || request.Moves.Select(m => m.Node).Distinct().Count() != request.Moves.Count)
        {
            throw StatusException.Because(
                StatusCode.InvalidArgument, Problems.Node,
                $"The moves name {_settings.Node} as lost, or a node twice, or one as its own new place.");
        }
    }

    // Looks at all that can be wrong before anything is changed; at every octet of the images only where it `looks`, which takes as long as
    // reading them: for the promise, and once more only where this process has not.
    private RecoveryTask Plan(RecoveryOrder order, bool looks)
    {
        NodeRecord state = _file!.State;
        bool rollsBack = RecoveryChoices.RollsBack(state.Pending, order, MessagesNow);
        var task = new RecoveryTask(order, _messages is LoneNode, LastEpoch);
        try
        {
            if (rollsBack)
            {
                task.Member = Member([.. Line()], order.Line) ?? throw NoMember($"Node {_settings.Node}", order.Line);
                RequireWhole(_store!, task.Member, looks);
                RequireAdopted(task.Member, order);
            }

            foreach (DomainMove move in order.Moves.Where(m => m.To == _settings.Node))
            {
                DirectoryStore store = OpenLost(move.Node);
                task.Stores.Add(store);
                CheckpointManifest member = Member(store.Checkpoints, order.Line) ?? throw NoMember($"The lost node {move.Node}", order.Line);
                RequireWhole(store, member, looks);
                RequireNotHere(move, member);
                task.Adopted.Add(new AdoptedNode(move.Node, store, member));
            }

            if (task.Member is not null)
            {
                task.Newer = Newer(task);
            }

            HashSet<Guid> going =
            [
                .. (task.Member?.Domains ?? []).Concat(task.Adopted.SelectMany(a => a.Member.Domains)).Select(d => d.Uuid),
                .. task.Newer.Select(d => d.Uuid),
            ];
            task.Staying =
                [.. Hypervisor.ListDomains().Where(d => d.Id != 0 && !d.State.HasFlag(DomainStates.Dying) && !going.Contains(d.Uuid))];
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

    // Domains that came here from a lost node since the member would be gone.
    private void RequireAdopted(CheckpointManifest member, RecoveryOrder order)
    {
        IReadOnlyList<Departure> hosted = RecoveryChoices.Hosted(_file!.State.Departures, _settings.Node, order);
        if (hosted.Count > 0 && RecoveryChoices.CameSince(hosted, NodeMessenger.LostIn(new Restorer(_store!).ReadNodeState(member))) is { } gone)
        {
            throw StatusException.Because(
                StatusCode.FailedPrecondition, Problems.Line,
                $"The domains of {gone.Node} came to {_settings.Node} after its checkpoint of the line {order.Line}, and would be lost: "
                + $"recover with '--lost {gone.Node} --to {_settings.Node}'.");
        }
    }

    // Where the node has not brought them up before, those of a lost node that are here moved since the line.
    private void RequireNotHere(DomainMove move, CheckpointManifest member)
    {
        if (!RecoveryChoices.IsFirst(_file!.State, move))
        {
            return;
        }

        HashSet<Guid> there = [.. Hypervisor.ListDomains().Where(d => !d.State.HasFlag(DomainStates.Dying)).Select(d => d.Uuid)];
        if (member.Domains.FirstOrDefault(d => there.Contains(d.Uuid)) is { } moved)
        {
            throw StatusException.Because(
                StatusCode.FailedPrecondition, Problems.Domain,
                $"Domain {moved.Name} is in the checkpoint of {move.Node}, and is on {_settings.Node} now: it moved after this line. "
                + "Name a later line with --at, or destroy it where it is now.");
        }
    }

    // Domains that exchange frames with others, and are not in the checkpoint that the node goes back to: they would run on from
    // the future.
    private DomainInfo[] Newer(RecoveryTask task)
    {
        HashSet<Guid> known = [.. task.Member!.Domains.Concat(task.Adopted.SelectMany(a => a.Member.Domains)).Select(d => d.Uuid)];
        Dictionary<Guid, DomainInfo> here = Hypervisor.ListDomains()
            .Where(d => d.Id != 0 && !known.Contains(d.Uuid) && !d.State.HasFlag(DomainStates.Dying) && ReachesPeers(d))
            .ToDictionary(d => d.Uuid);
        DomainInfo[] newer = [.. RecoveryChoices.Newer(here.Keys, known).Select(d => here[d])];
        return newer.Length == 0 || task.Order.DestroysNewer
            ? newer
            : throw StatusException.Because(
                StatusCode.FailedPrecondition, Problems.NewerDomain,
                $"{string.Join(", ", newer.Select(d => d.Name ?? $"{d.Uuid}"))}: not in checkpoint {task.Member.Id} of the line {task.Order.Line}, and "
                + "would run on from a time that the others go back from. Destroy what is newer with '--destroy-newer'.");
    }

    // Only these can have what other nodes' guests sent in the time that is undone.
    private bool ReachesPeers(DomainInfo domain)
    {
        if (_settings.Nodes.Count <= 1 || _policies!.Of(domain.Uuid, domain.Name) is { Include: false })
        {
            return false;
        }

        try
        {
            using IDomain there = Hypervisor.OpenDomain(domain.Uuid);
            return _platform.ReachesPeers(there.GetConfiguration(), _settings);
        }
        catch (HypervisorException)
        {
            // It is going, or is of a kind that no checkpoint covers.
            return false;
        }
    }

    private static StatusException NoMember(string node, long line) => StatusException.Because(
        StatusCode.FailedPrecondition, Problems.Line,
        $"{node} has no checkpoint that the line {line} needs: none with that index or a higher one is there, or older ones "
        + "were removed and it cannot be told which was the first.");

    /// <summary>The member of a line (<see cref="RecoveryChoices.Member"/>), or null.</summary>
    internal static CheckpointManifest? Member(IReadOnlyList<CheckpointManifest> checkpoints, long line) =>
        RecoveryChoices.Member([.. checkpoints.Select(m => new CheckpointPoint(m.Epoch, (long)m.Closing.Index))], line) is { } at
            ? checkpoints[at]
            : null;

    private void RequireWhole(DirectoryStore store, CheckpointManifest member, bool looks)
    {
        var restorer = new Restorer(store);
        if (looks && member.Domains.Count > 0 && !_seenWhole.Contains(member.Id))
        {
            restorer.Verify(member, null, memory: true, disks: true);
            _ = _seenWhole.Add(member.Id);
        }

        _ = restorer.ReadNodeState(member);
    }

    private DirectoryStore OpenLost(string node)
    {
        if (node == _settings.Node)
        {
            throw StatusException.Because(
                StatusCode.NotFound, Problems.Node, $"{node} is this node: its domains go back without being named.");
        }

        string? folder = _settings.Shared is { } shared && node == Path.GetFileName(node) && node is not ("." or "..")
            ? Path.Combine(shared, node)
            : null;
        return folder is not null && Directory.Exists(folder)
            ? DirectoryStore.OpenReadOnly(folder)
            : throw StatusException.Because(
                StatusCode.NotFound, Problems.Node,
                _settings.Shared is null
                    ? "This node's configuration has no 'shared' directory that could have the stores of other nodes."
                    : $"{_settings.Shared} has no store of a node '{node}'.");
    }

    /// <summary>A lost node whose domains come here.</summary>
    private sealed record AdoptedNode(string Node, DirectoryStore Store, CheckpointManifest Member);

    /// <summary>What a recovery does on this node, with what is read for it.</summary>
    private sealed record RecoveryTask(RecoveryOrder Order, bool IsAlone, ulong LastEpoch) : IDisposable
    {
        /// <summary>What the node goes back to; null where it goes on.</summary>
        internal CheckpointManifest? Member { get; set; }

        /// <summary>Domains that are not in it, and go.</summary>
        internal IReadOnlyList<DomainInfo> Newer { get; set; } = [];

        internal List<AdoptedNode> Adopted { get; } = [];

        /// <summary>Domains of the node that stay as they are.</summary>
        internal IReadOnlyList<DomainInfo> Staying { get; set; } = [];

        internal List<DirectoryStore> Stores { get; } = [];

        /// <summary>The same, as the execution sees it.</summary>
        internal RecoveryPart Part
        {
            get
            {
                AdoptedMember[] adopted = [.. Adopted.Select(a => new AdoptedMember(a.Node, a.Member.Epoch, [.. a.Member.Domains.Select(d => d.Uuid)]))];
                return Member is { } m
                    ? new RollBackPart(Order, new LineMember(m.Epoch, (long)m.Closing.Index, [.. m.Domains.Select(d => d.Uuid)]), LastEpoch)
                    {
                        IsAlone = IsAlone,
                        Adopted = adopted,
                        Newer = [.. Newer.Select(d => d.Uuid)],
                    }
                    : new GoOnPart(Order) { IsAlone = IsAlone, Adopted = adopted };
            }
        }

        public void Dispose() => Stores.ForEach(s => s.Dispose());

        /// <summary>What would be done.</summary>
        internal V1.RecoverResponse Foretell()
        {
            var response = new V1.RecoverResponse
            {
                Action = Member is null ? V1.RecoverAction.Checkpoint : V1.RecoverAction.RollBack,
                CheckpointId = Member is null ? "" : $"{Member.Id}",
                Index = Member?.Closing.Index ?? (ulong)Order.Line,
            };
            foreach (ManifestDomain domain in (Member?.Domains ?? []).Concat(Adopted.SelectMany(a => a.Member.Domains)))
            {
                response.Domains.Add(new V1.RestoredDomain { Uuid = $"{domain.Uuid}", Name = domain.Name });
            }

            response.Staying.AddRange(Staying.Select(d => new V1.RestoredDomain { Uuid = $"{d.Uuid}", Name = d.Name ?? "" }));

            return response;
        }
    }
}
