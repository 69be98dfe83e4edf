using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using XenTwoLevelCkpt.Cluster;
using XenTwoLevelCkpt.Protocol.Recovery;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Control.Clusters;

/// <summary><c>xtlctl cluster</c>: what concerns several nodes.</summary>
/// <param name="output">Receives results.</param>
/// <param name="error">Receives messages.</param>
internal sealed class ClusterCommand(TextWriter output, TextWriter error)
{
    private readonly Option<string> _file = new("--cluster")
    {
        Description = "The file that names the nodes and where their daemons take orders.",
        HelpName = "FILE",
        DefaultValueFactory = _ => ClusterFile.DefaultPath,
        Recursive = true,
    };

    private readonly Option<string[]> _nodes = new("--node")
    {
        Description = "Instead of the file, once for each node: its name, and a socket's path or HOST:PORT.",
        HelpName = "NAME=ENDPOINT",
        Recursive = true,
    };

    private readonly Option<TimeSpan> _timeout = new("--timeout")
    {
        Description = "How long a node has to say how it is, before it is taken for one that does not answer.",
        HelpName = "30s",
        CustomParser = Arguments.Duration,
        DefaultValueFactory = _ => RemoteNode.DefaultPatience,
        Recursive = true,
    };

    private readonly Option<bool> _json = new("--json") { Description = "Print JSON." };

    private readonly Option<long?> _at = new("--at") { Description = "The line, instead of the latest one.", HelpName = "K" };

    /// <summary>Makes the command.</summary>
    /// <param name="output">Receives results.</param>
    /// <param name="error">Receives messages.</param>
    internal static Command Make(TextWriter output, TextWriter error)
    {
        var commands = new ClusterCommand(output, error);
        return new Command("cluster", "What concerns several nodes.")
        {
            commands._file, commands._nodes, commands._timeout, commands.Status(), commands.Line(), commands.Recover(), commands.Garbage(),
            TimelineCommand.Make(),
        };
    }

    private Command Status()
    {
        var command = new Command("status", "Show all nodes: their indexes, the line, and how far each is ahead of it.") { _json };
        command.SetAction((result, cancellation) => WithNodesAsync(result, async nodes =>
        {
            ClusterView view = await ClusterView.AskAsync(nodes, cancellation).ConfigureAwait(false);
            ClusterJson cluster = ClusterJson.From(view);
            if (result.GetValue(_json))
            {
                output.WriteLine(JsonSerializer.Serialize(cluster, ClusterJsonContext.Default.ClusterJson));
            }
            else
            {
                Print(cluster);
            }

            return cluster.Nodes.All(n => n.Problem is null) ? ExitCodes.Ok : ExitCodes.Unavailable;
        }));
        return command;
    }

    private Command Line()
    {
        var command = new Command("line", "Show the checkpoints that a recovery would put the nodes back to.") { _at, _json };
        command.SetAction((result, cancellation) => WithNodesAsync(result, async nodes =>
        {
            ClusterView view = await ClusterView.AskAsync(nodes, cancellation).ConfigureAwait(false);
            long line = result.GetValue(_at) ?? view.SafeLine
                ?? throw new ClusterRecoveryException("The line is not known: a node does not answer, and no other one has heard of it. Name one with --at.");
            var members = new List<MemberJson>();
            foreach (NodeView node in view.Nodes.Where(n => n.Node is not null))
            {
                INodeClient client = nodes.First(n => n.Name == node.Name);
                IReadOnlyList<Checkpoint> all = await client.ListCheckpointsAsync(cancellation).ConfigureAwait(false);
                members.Add(MemberJson.From(node.Name, all.FirstOrDefault(c => (long)c.Index >= line)));
            }

            if (result.GetValue(_json))
            {
                output.WriteLine(JsonSerializer.Serialize(new LineJson(line, members), ClusterJsonContext.Default.LineJson));
                return ExitCodes.Ok;
            }

            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"line {line}"));
            var table = new TextTable("NODE", "CHECKPOINT", "EPOCH", "INDEX", "CAPTURED", "DURABLE");
            foreach (MemberJson m in members)
            {
                table.Add(
                    m.Node, m.Id ?? "takes one now", Text(m.Epoch), Text(m.Index),
                    m.Captured?.ToString("u", CultureInfo.InvariantCulture) ?? "-", m.Durable is { } d ? d ? "yes" : "no" : "-");
            }

            table.Write(output);
            return ExitCodes.Ok;
        }));
        return command;
    }

    private Command Recover()
    {
        var lost = new Option<string[]>("--lost")
        {
            Description = "A node that is lost, once for each: its domains come up on another one, from the shared storage.",
            HelpName = "NODE",
        };
        var to = new Option<string?>("--to")
        {
            Description = "The node that brings them up, instead of that with the fewest domains.",
            HelpName = "NODE",
        };
        var dry = new Option<bool>("--dry-run") { Description = "Only print the plan." };
        var newer = new Option<bool>("--destroy-newer")
        {
            Description = "Destroy domains that are not in the checkpoint that their node goes back to; without it such a node takes no part.",
        };
        var yes = new Option<bool>("--yes")
        {
            Description = "Go back also where no node has failed, without a question.",
        };
        var command = new Command(
            "recover",
            "Bring the cluster back to a consistent line. Nodes that have reached it go back, the others take a checkpoint and "
            + "go on. A recovery that was interrupted is ended by the same command.")
        {
            lost, to, _at, newer, dry, yes, _json,
        };
        command.SetAction((result, cancellation) => WithNodesAsync(result, async nodes =>
        {
            var leader = new RecoveryLeader(nodes) { Patience = result.GetValue(_timeout) };
            ClusterRecovery plan = await leader.PlanAsync(
                new RecoveryWish(result.GetValue(lost) ?? [], result.GetValue(to), result.GetValue(_at), result.GetValue(newer)), cancellation)
                .ConfigureAwait(false);
            bool carryOut = !result.GetValue(dry) && !plan.Done;
            bool json = result.GetValue(_json);
            if (!json)
            {
                Announce(plan);
            }

            if (carryOut && !plan.IsNeeded && !result.GetValue(yes) && !Confirmed(plan))
            {
                return ExitCodes.Usage;
            }

            if (carryOut)
            {
                plan = await leader.CarryOutAsync(
                    plan, json ? null : part => error.WriteLine($"xtlctl: {part.Node} is done"), cancellation).ConfigureAwait(false);
            }

            Print(plan, carryOut || plan.Done, json);
            return ExitCodes.Ok;
        }));
        return command;
    }

    // On a terminal it is asked; a script has to say so.
    private bool Confirmed(ClusterRecovery plan)
    {
        string what = string.Create(
            CultureInfo.InvariantCulture, $"No node has failed, and the guests of all nodes would go back to line {plan.Order.Line}.");
        if (Console.IsInputRedirected || Console.IsErrorRedirected || error != Console.Error)
        {
            error.WriteLine($"xtlctl: {what} '--yes' does that, '--dry-run' shows what it would do; nothing was done.");
            return false;
        }

        error.Write($"{what} Go on (yes or no)? ");
        if (Console.In.ReadLine()?.Trim() == "yes")
        {
            return true;
        }

        error.WriteLine("xtlctl: nothing was done.");
        return false;
    }

    private Command Garbage()
    {
        var dry = new Option<bool>("--dry-run") { Description = "Only print what would be removed." };
        var command = new Command("gc", "Remove what no recovery can need any more, whichever node fails.") { dry, _json };
        command.SetAction((result, cancellation) => WithNodesAsync(result, async nodes =>
        {
            ClusterView view = await ClusterView.AskAsync(nodes, cancellation).ConfigureAwait(false);
            long line = view.SafeLine ?? throw new ClusterRecoveryException(
                "A node does not answer, and no other one has heard of it: nothing can be removed.");
            var request = new CollectGarbageRequest { Line = (ulong)line, DryRun = result.GetValue(dry) };
            GarbageJson[] removed = await Task.WhenAll(view.Nodes.Where(n => n.Node is not null).Select(async n =>
            {
                CollectGarbageResponse r = await nodes.First(c => c.Name == n.Name)
                    .CollectGarbageAsync(request, cancellation).ConfigureAwait(false);
                return new GarbageJson(n.Name, [.. r.Epochs], r.Bytes);
            })).ConfigureAwait(false);
            if (result.GetValue(_json))
            {
                output.WriteLine(JsonSerializer.Serialize(removed, ClusterJsonContext.Default.GarbageJsonArray));
                return ExitCodes.Ok;
            }

            var table = new TextTable("NODE", "CHECKPOINTS", "BYTES");
            foreach (GarbageJson g in removed)
            {
                table.Add(g.Node, Text(g.Epochs.Count), Text(g.Bytes));
            }

            table.Write(output);
            return ExitCodes.Ok;
        }));
        return command;
    }

    private void Print(ClusterJson cluster)
    {
        output.WriteLine($"line {Text(cluster.Line)}");
        var table = new TextTable("NODE", "STATE", "SN", "DURABLE", "LAG", "INCARNATION", "DOMAINS", "LINKS");
        foreach (ClusterNodeJson n in cluster.Nodes)
        {
            table.Add(
                n.Name, n.State ?? "no answer", Text(n.Index), Text(n.DurableIndex), Text(n.Lag), Text(n.Incarnation),
                Text(n.Domains), n.Peers is null ? "-" : $"{n.Connected}/{n.Peers}");
        }

        table.Write(output);
        foreach (ClusterNodeJson n in cluster.Nodes.Where(n => n.Problem is not null))
        {
            error.WriteLine($"xtlctl: {n.Name}: {n.Problem}");
        }

        foreach (string next in cluster.Next)
        {
            output.WriteLine($"next: {next}");
        }
    }

    private void Announce(ClusterRecovery plan) => output.WriteLine(
        (plan.Done ? "done before: " : plan.Resumed ? "the rest of an interrupted recovery: " : "")
        + $"{plan.Order}");

    private void Print(ClusterRecovery recovery, bool done, bool json)
    {
        if (json)
        {
            output.WriteLine(JsonSerializer.Serialize(
                RecoveryJson.From(recovery, done), ClusterJsonContext.Default.RecoveryJson));
            return;
        }

        var table = new TextTable("NODE", "ACTION", "INDEX", "CHECKPOINT", "DOMAINS", "REPLAYED");
        foreach (RecoveryPartJson p in RecoveryJson.From(recovery, done).Nodes)
        {
            table.Add(
                p.Node, p.Action == "rollBack" ? "back" : "checkpoint", Text(p.Index), p.Checkpoint ?? "-",
                p.Domains.Count == 0 ? "-" : string.Join(' ', p.Domains), Text(p.ReplayedBatches));
        }

        table.Write(output);
    }

    private async Task<int> WithNodesAsync(ParseResult result, Func<IReadOnlyList<INodeClient>, Task<int>> action)
    {
        RemoteNode[] nodes = [];
        try
        {
            nodes = [.. Members(result).Select(m => new RemoteNode(m, result.GetValue(_timeout)))];
            return await action(nodes).ConfigureAwait(false);
        }
        catch (FormatException e)
        {
            await error.WriteLineAsync($"xtlctl: {e.Message}").ConfigureAwait(false);
            return ExitCodes.Usage;
        }
        catch (ClusterRecoveryException e)
        {
            await error.WriteLineAsync($"xtlctl: {e.Message}").ConfigureAwait(false);
            return ExitCodes.Failure;
        }
        finally
        {
            Array.ForEach(nodes, n => n.Dispose());
        }
    }

    private IReadOnlyList<ClusterMember> Members(ParseResult result)
    {
        string[] said = result.GetValue(_nodes) ?? [];
        return said.Length == 0
            ? ClusterFile.Read(result.GetRequiredValue(_file))
            : ClusterFile.Check(said.Select(text => text.IndexOf('=', StringComparison.Ordinal) is > 0 and int at
                ? ClusterMember.Parse(text[..at], text[(at + 1)..])
                : throw new FormatException($"'{text}' is no NAME=ENDPOINT")));
    }

    private static string Text(IFormattable? value) => value?.ToString(null, CultureInfo.InvariantCulture) ?? "-";
}
