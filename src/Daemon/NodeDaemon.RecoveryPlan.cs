using Grpc.Core;
using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Checkpointing.Restore;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Rpc;
using V1 = XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Daemon;

/// <content>What the node's part of a recovery is; nothing is changed here.</content>
public sealed partial class NodeDaemon
{
    // The answer of the same call before; null where it is to be done.
    private V1.RecoverResponse? Repeated(V1.RecoverRequest request) =>
        _file!.State is { Pending: null, Last: { } last } && (ulong)last.Incarnation == request.Incarnation
            && (ulong)last.Line == request.Line && last.LostNode == request.LostNode
            ? V1.RecoverResponse.Parser.ParseFrom(last.Response)
            : null;

    // Looks at all that can be wrong before anything is changed.
    private RecoveryTask Plan(V1.RecoverRequest request)
    {
        NodeRecord state = _file!.State;
        if (request.Incarnation <= (ulong)state.Incarnation || request.Incarnation > int.MaxValue)
        {
            throw StatusException.Because(
                StatusCode.InvalidArgument, Problems.Incarnation,
                $"The incarnation {request.Incarnation} is not above the node's, {state.Incarnation}"
                + (request.Incarnation > int.MaxValue ? $", and at most {int.MaxValue}." : "."));
        }

        long line = (long)request.Line;
        RequireKnown(request);
        var wanted = new PendingRecovery(
            line, (int)request.Incarnation, request.LostNode, false, request.DepartedNode, request.DepartedTo);
        bool known = state.Pending is { } pending && pending with { RollsBack = false } == wanted;
        bool awaits = _messages!.AwaitsRecovery;

        // Of one that was interrupted while its domains went back, none may be left; another one takes its place where a node is lost.
        bool gone = state.Pending is { RollsBack: true };
        bool rollsBack = known ? state.Pending!.RollsBack : awaits || gone || _messages.Index >= line;
        CheckpointManifest? member = null;
        if (rollsBack)
        {
            member = Member([.. Line()], line) ?? throw NoMember($"Node {_settings.Node}", line);
            if (!awaits && member.Domains.Count == 0 && Hypervisor.ListDomains().All(d => d.Id == 0))
            {
                // Nothing to put back, and nothing to forget: its index may stay.
                rollsBack = false;
            }
            else
            {
                RequireWhole(_store!, member);
                RequireAdopted(member, request);
            }
        }

        DirectoryStore? lost = null;
        try
        {
            CheckpointManifest? lostMember = null;
            if (request.LostNode.Length > 0)
            {
                lost = OpenLost(request.LostNode);
                lostMember = Member(lost.Checkpoints, line) ?? throw NoMember($"The lost node {request.LostNode}", line);
                RequireWhole(lost, lostMember);
            }

            return new RecoveryTask(wanted with { RollsBack = rollsBack }, member, lost, lostMember);
        }
        catch
        {
            lost?.Dispose();
            throw;
        }
    }

    // Domains that came here from a lost node since the member would be gone.
    private void RequireAdopted(CheckpointManifest member, V1.RecoverRequest request)
    {
        Departure[] here = [.. _file!.State.Departures.Where(d => d.Host == _settings.Node && d.Node != request.LostNode)];
        if (here.Length == 0)
        {
            return;
        }

        IReadOnlyList<string> there = NodeMessenger.LostIn(new Restorer(_store!).ReadNodeState(member));
        if (Array.Find(here, d => !there.Contains(d.Node)) is { } gone)
        {
            throw StatusException.Because(
                StatusCode.FailedPrecondition, Problems.Line,
                $"The domains of {gone.Node} came to {_settings.Node} after its checkpoint of the line {request.Line}, and would be lost: "
                + $"recover with '--lost {gone.Node} --to {_settings.Node}'.");
        }
    }

    // Every node of a cluster has the same set of names; a node on its own has none.
    private void RequireKnown(V1.RecoverRequest request)
    {
        foreach (string name in new[] { request.LostNode, request.DepartedNode, request.DepartedTo })
        {
            if (name.Length > 0 && name != _settings.Node && _settings.Nodes.Count > 0
                && _settings.Nodes.All(node => node.Name != name))
            {
                throw StatusException.Because(
                    StatusCode.NotFound, Problems.Node, $"There is no node '{name}' in this node's configuration.");
            }
        }

        if (request.DepartedNode.Length == 0 != (request.DepartedTo.Length == 0)
            || request.DepartedNode == _settings.Node || request.DepartedTo == _settings.Node
            || (request.DepartedNode.Length > 0 && (request.LostNode.Length > 0 || request.DepartedNode == request.DepartedTo)))
        {
            throw StatusException.Because(
                StatusCode.InvalidArgument, Problems.Node,
                "departed_node and departed_to name two other nodes, where lost_node is empty.");
        }
    }

    // All nodes that are lost, with the one that the recovery brings here or to another node. Where a recovery does once more what an
    // earlier one did, that one counts: since then frames for its domains have gone there.
    private IReadOnlyList<Departure> Departures(PendingRecovery what)
    {
        (string node, string host) = what.LostNode.Length > 0 ? (what.LostNode, _settings.Node) : (what.DepartedNode, what.DepartedTo);
        IReadOnlyList<Departure> known = _file!.State.Departures;
        return node.Length == 0 || _messages is LoneNode || known.Any(d => d.Node == node && d.Host == host)
            ? known
            : [.. known.Where(d => d.Node != node), new Departure(node, host, what.Incarnation)];
    }

    private static StatusException NoMember(string node, long line) => StatusException.Because(
        StatusCode.FailedPrecondition, Problems.Line,
        $"{node} has no checkpoint that the line {line} needs: none with that index or a higher one is there, or older ones "
        + "were removed and it cannot be told which was the first.");

    /// <summary>The member of a line: the first checkpoint with an index of at least k. Null where there is none, or where
    /// an earlier one may have been removed.</summary>
    internal static CheckpointManifest? Member(IReadOnlyList<CheckpointManifest> checkpoints, long line)
    {
        int at = 0;
        while (at < checkpoints.Count && (long)checkpoints[at].Closing.Index < line)
        {
            at++;
        }

        return at < checkpoints.Count
            && (at > 0 || (long)checkpoints[at].Closing.Index == line || (checkpoints[at].Epoch == 1 && line > 0))
            ? checkpoints[at]
            : null;
    }

    private static void RequireWhole(DirectoryStore store, CheckpointManifest member)
    {
        if (member.Domains.Count > 0)
        {
            new Restorer(store).Verify(member, null, memory: true, disks: true);
        }
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

    /// <summary>What a recovery does on this node.</summary>
    private sealed record RecoveryTask(
        PendingRecovery What, CheckpointManifest? Member, DirectoryStore? Lost, CheckpointManifest? LostMember) : IDisposable
    {
        public void Dispose() => Lost?.Dispose();

        /// <summary>The answer of a dry run.</summary>
        internal V1.RecoverResponse Foretell(long line)
        {
            using (this)
            {
                var response = new V1.RecoverResponse
                {
                    Action = What.RollsBack ? V1.RecoverAction.RollBack : V1.RecoverAction.Checkpoint,
                    CheckpointId = What.RollsBack ? $"{Member!.Id}" : "",
                    Index = What.RollsBack ? Member!.Closing.Index : (ulong)line,
                };
                foreach (ManifestDomain domain in (What.RollsBack ? Member!.Domains : []).Concat(LostMember?.Domains ?? []))
                {
                    response.Domains.Add(new V1.RestoredDomain { Uuid = $"{domain.Uuid}", Name = domain.Name });
                }

                return response;
            }
        }
    }
}
