using XenTwoLevelCkpt.Protocol.Recovery;

namespace XenTwoLevelCkpt.ClusterSimulation;

/// <summary>Whoever runs <c>xtlctl cluster recover</c>: asks all nodes, plans, has all promise, has all carry out. It may be killed at any
/// moment, and may be one of several.</summary>
/// <param name="world">The cluster.</param>
/// <param name="hosts">The nodes that it is told of.</param>
/// <param name="wish">What is wanted.</param>
/// <param name="insists">True where a recovery is carried out that nobody needs.</param>
/// <param name="ended">Learns of the end: null where the cluster has recovered, else why not.</param>
internal sealed class SimulatedLeader(
    SimulatedWorld world, IReadOnlyList<SimulatedHost> hosts, RecoveryWish wish, bool insists, Action<string?> ended)
{
    // A daemon that starts answers later.
    private const long Patience = 2_000_000;
    private const long Look = 10_000;

    private bool _isOver;

    internal void Start()
    {
        var members = new MemberState?[hosts.Count];
        int left = hosts.Count;
        for (int i = 0; i < hosts.Count; i++)
        {
            int at = i;
            Ask(hosts[at], world.Now + (wish.Lost.Contains(hosts[at].Name) ? 0 : Patience), member =>
            {
                members[at] = member;
                if (--left == 0)
                {
                    Decide(new ClusterState([.. members.OfType<MemberState>()]));
                }
            });
        }
    }

    /// <summary>It is killed: nothing more comes from it.</summary>
    internal void Die() => _isOver = true;

    private void End(string? why)
    {
        if (!_isOver)
        {
            _isOver = true;
            ended(why);
        }
    }

    private void Ask(SimulatedHost host, long until, Action<MemberState> answer) => world.After(world.Delay(), () =>
    {
        if (_isOver)
        {
            return;
        }

        if (host is { IsCutOff: false, Daemon.Serves: true })
        {
            answer(host.Daemon.Describe());
        }
        else if (wish.Lost.Contains(host.Name) && !host.IsLost)
        {
            // A host that nobody reaches and that has domains: without a fence nobody can know, and an operator must not name it.
            answer(new MemberState { Name = host.Name });
        }
        else if (world.Now >= until)
        {
            answer(new MemberState { Name = host.Name, Problem = "it does not answer" });
        }
        else
        {
            world.After(Look, () => Ask(host, until, answer));
        }
    });

    private void Decide(ClusterState state)
    {
        RecoveryDecision decision = ClusterRecoveryPlanner.Plan(state, wish);
        world.Note($"leader: {decision}");
        switch (decision)
        {
            case RecoveryDecision.Lead lead when lead.IsNeeded || insists:
                AskAll(lead, carriesOut: false, parts =>
                {
                    if (!lead.Resumed && ClusterRecoveryPlanner.Twice(parts) is { } twice)
                    {
                        End(twice);
                        return;
                    }

                    AskAll(lead, carriesOut: true, _ => End(null));
                });
                break;
            case RecoveryDecision.Refused refused:
                End(refused.Why);
                break;
            default:
                End(null);
                break;
        }
    }

    private void AskAll(RecoveryDecision.Lead lead, bool carriesOut, Action<NodePart[]> all)
    {
        SimulatedHost[] taking = [.. hosts.Where(h => !lead.Order.Lost().Contains(h.Name))];
        var parts = new List<NodePart>();
        foreach (SimulatedHost host in taking)
        {
            world.After(world.Delay(), () =>
            {
                if (_isOver)
                {
                    return;
                }

                if (host is not { IsCutOff: false, Daemon: { Serves: true } daemon })
                {
                    End($"{host.Name} does not answer");
                    return;
                }

                bool answered = false;
                Watch(daemon, () => answered);
                daemon.Recover(lead.Order, lead.After, carriesOut, answer => world.After(world.Delay(), () =>
                {
                    answered = true;
                    if (answer.Part is null)
                    {
                        End($"{host.Name} {(carriesOut ? "has not done its part" : "cannot take part")}: {answer.Why}");
                        return;
                    }

                    parts.Add(answer.Part);
                    if (parts.Count == taking.Length && !_isOver)
                    {
                        all([.. parts]);
                    }
                }));
            });
        }
    }

    // A call whose daemon dies fails.
    private void Watch(SimulatedDaemon daemon, Func<bool> answered) => world.After(Look, () =>
    {
        if (_isOver || answered())
        {
            return;
        }

        if (daemon.IsDead || daemon.Host.IsCutOff)
        {
            End($"{daemon.Host.Name} ended in the middle");
        }
        else
        {
            Watch(daemon, answered);
        }
    });
}
