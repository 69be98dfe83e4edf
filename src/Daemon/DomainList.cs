using Google.Protobuf.WellKnownTypes;
using Grpc.Core;
using XenTwoLevelCkpt.Checkpointing.Node.Selection;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Rpc;
using V1 = XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Daemon;

/// <summary>The domains of a node as an operator sees them: what they are, whether checkpoints cover them, and what was set of
/// them.</summary>
/// <param name="node">The node.</param>
internal sealed class DomainList(NodeDaemon node)
{
    private static readonly TimeSpan LeastTimeout = TimeSpan.FromMilliseconds(1);
    private static readonly TimeSpan MostTimeout = TimeSpan.FromHours(1);

    /// <summary>All domains.</summary>
    internal IEnumerable<V1.Domain> List()
    {
        IReadOnlyDictionary<Guid, DomainCoverage> coverage = node.Coverage;
        return node.Hypervisor.ListDomains().Select(d => Describe(d, coverage));
    }

    /// <summary>Sets what differs for a domain.</summary>
    /// <exception cref="StatusException">As SetDomain in node_control.proto.</exception>
    /// <exception cref="IOException">The state directory cannot be written.</exception>
    internal V1.Domain Set(V1.SetDomainRequest request)
    {
        DomainInfo domain = node.Hypervisor.FindDomain(request.Domain);
        if (domain.Id == 0)
        {
            throw new DomainNotFoundException($"'{request.Domain}' that is a guest");
        }

        V1.DomainPolicy policy = request.Policy ?? new V1.DomainPolicy();
        TimeSpan? timeout = policy.SuspendTimeout?.ToTimeSpan();
        if (timeout < LeastTimeout || timeout > MostTimeout)
        {
            throw StatusException.Because(
                StatusCode.InvalidArgument, Problems.SuspendTimeoutReason, "The time to suspend is 1 ms to 1 hour.");
        }

        node.Policies.Set(
            domain.Uuid,
            new SetPolicy(
                policy.HasInclude ? policy.Include : null, policy.HasMemoryOnly ? policy.MemoryOnly : null, timeout,
                policy.WhenUnable switch
                {
                    V1.WhenUnable.Fail => UnableRule.Fail,
                    V1.WhenUnable.Skip => UnableRule.Skip,
                    _ => null,
                }),
            request.Reset);
        return Describe(domain, node.Coverage);
    }

    private V1.Domain Describe(DomainInfo info, IReadOnlyDictionary<Guid, DomainCoverage> coverage)
    {
        V1.Domain domain = Messages.From(info);
        if (info.Id == 0)
        {
            return domain;
        }

        DomainPolicy? policy = node.Policies.Of(info.Uuid, info.Name);
        domain.Policy = policy is null ? null : From(policy);
        domain.Coverage = Coverage(info, policy, coverage.GetValueOrDefault(info.Uuid));
        return domain;
    }

    private static V1.Coverage Coverage(DomainInfo info, DomainPolicy? policy, DomainCoverage? last)
    {
        if (policy is { Include: false })
        {
            return LeftOutBecause(LeftOut.CodeOf(LeftOutReason.Excluded), $"Domain {info.Name} is excluded by the settings.");
        }

        // One that a checkpoint suspends just now is covered.
        if (LeftOut.ByState(info, ours: last is { LeftOut: null }) is { } state)
        {
            return LeftOutBecause(LeftOut.CodeOf(state.Reason), state.Message);
        }

        return last switch
        {
            null or { LeftOut.Reason: "excluded" } => new V1.Coverage { State = V1.CoverageState.Pending },
            { LeftOut: { } left } => LeftOutBecause(left.Reason, left.Message),
            _ => new V1.Coverage
            {
                State = V1.CoverageState.Covered,
                Disks = { last.Disks },
                MemoryOnly = last.MemoryOnly,
            },
        };
    }

    private static V1.Coverage LeftOutBecause(string reason, string message) =>
        new() { State = V1.CoverageState.LeftOut, Reason = reason, Message = message };

    private static V1.DomainPolicy From(DomainPolicy policy)
    {
        var result = new V1.DomainPolicy
        {
            Include = policy.Include,
            SuspendTimeout = policy.SuspendTimeout is { } timeout ? Duration.FromTimeSpan(timeout) : null,
            WhenUnable = policy.WhenUnable switch
            {
                UnableRule.Fail => V1.WhenUnable.Fail,
                UnableRule.Skip => V1.WhenUnable.Skip,
                _ => V1.WhenUnable.Unspecified,
            },
        };
        if (policy.MemoryOnly is { } memoryOnly)
        {
            result.MemoryOnly = memoryOnly;
        }

        return result;
    }
}
