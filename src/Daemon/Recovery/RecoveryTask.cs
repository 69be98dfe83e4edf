using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Protocol.Recovery;
using V1 = XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Daemon.Recovery;

/// <summary>A lost node whose domains come here.</summary>
internal sealed record AdoptedNode(string Node, DirectoryStore Store, CheckpointManifest Member);

/// <summary>What a recovery does on this node, with what is read for it.</summary>
internal sealed record RecoveryTask(RecoveryOrder Order, bool IsAlone, ulong LastEpoch) : IDisposable
{
    /// <summary>What the node goes back to; null where it goes on.</summary>
    internal CheckpointManifest? Member { get; set; }

    /// <summary>Domains that are not in it, and go.</summary>
    internal IReadOnlyList<DomainInfo> Newer { get; set; } = [];

    internal List<AdoptedNode> Adopted { get; } = [];

    /// <summary>Domains of the node that stay as they are.</summary>
    internal IReadOnlyList<DomainInfo> Staying { get; set; } = [];

    internal List<DirectoryStore> Stores { get; } = [];

    /// <summary>What was read of lost nodes, by name.</summary>
    internal Dictionary<string, StoredPast> Lost { get; } = new(StringComparer.Ordinal);

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
