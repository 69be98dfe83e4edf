using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text.Json;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;
using XenTwoLevelCkpt.Control.Checkpoints;
using XenTwoLevelCkpt.Images.Verification;
using XenTwoLevelCkpt.Rpc;
using V1 = XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Control;

/// <summary>Commands that a daemon does. What they print is what they print without one.</summary>
/// <param name="daemon">The daemon; closed by each command.</param>
/// <param name="output">Receives results.</param>
internal sealed class DaemonCommands(DaemonClient daemon, TextWriter output)
{
    private static readonly JsonFormatter Formatter =
        new(JsonFormatter.Settings.Default.WithFormatDefaultValues(true).WithIndentation());

    private static readonly JsonFormatter LineFormatter = new(JsonFormatter.Settings.Default);

    internal Task<int> DomainsAsync(bool json, CancellationToken cancellationToken) => RunAsync(async options =>
    {
        V1.ListDomainsResponse listed = await daemon.Node.ListDomainsAsync(new V1.ListDomainsRequest(), options).ResponseAsync.ConfigureAwait(false);
        DomainsCommand.Print(output, [.. listed.Domains.Select(DomainJson.From)], json);
        return ExitCodes.Ok;
    }, cancellationToken);

    internal Task<int> SetDomainAsync(V1.SetDomainRequest request, bool json, CancellationToken cancellationToken) => RunAsync(async options =>
    {
        V1.Domain domain = await daemon.Node.SetDomainAsync(request, options).ResponseAsync.ConfigureAwait(false);
        DomainsCommand.Print(output, [DomainJson.From(domain)], json);
        return ExitCodes.Ok;
    }, cancellationToken);

    internal Task<int> CheckpointAsync(TakeOptions take, TimeSpan? suspendTimeout, CancellationToken cancellationToken) =>
        RunAsync(async options =>
        {
            var request = new V1.CheckpointRequest
            {
                Label = take.Label,
                Domains = { take.Domains },
                MemoryOnly = take.MemoryOnly,
                SuspendTimeout = suspendTimeout is { } timeout ? Duration.FromTimeSpan(timeout) : null,
            };
            V1.CheckpointReport report = await ProgressDisplay.RunAsync(async progress =>
            {
                using AsyncServerStreamingCall<V1.CheckpointUpdate> call = daemon.Node.Checkpoint(request, options);
                V1.CheckpointReport? last = null;
                await foreach (V1.CheckpointUpdate update in call.ResponseStream.ReadAllAsync(cancellationToken).ConfigureAwait(false))
                {
                    last = update.Report ?? last;
                    if (update.Progress is { } p)
                    {
                        progress?.Report(p);
                    }
                }

                return last ?? throw new StatusException(StatusCode.Unknown, "The daemon told no report.");
            }).ConfigureAwait(false);
            var told = ReportJson.From(report);
            TakeCommand.Print(output, told, take.Json);
            return told.IsPartial ? ExitCodes.Partial : ExitCodes.Ok;
        }, cancellationToken);

    internal Task<int> ListAsync(bool json, CancellationToken cancellationToken) => RunAsync(async options =>
    {
        var all = new List<CheckpointJson>();
        V1.ListCheckpointsResponse part;
        do
        {
            part = await daemon.Node.ListCheckpointsAsync(
                new V1.ListCheckpointsRequest { AfterEpoch = all.Count == 0 ? 0 : all[^1].Epoch }, options).ResponseAsync.ConfigureAwait(false);
            all.AddRange(part.Checkpoints.Select(CheckpointJson.From));
        }
        while (part.More);
        ShowCommand.PrintList(output, all, json);
        return ExitCodes.Ok;
    }, cancellationToken);

    internal Task<int> ShowAsync(string checkpoint, bool json, CancellationToken cancellationToken) => RunAsync(async options =>
    {
        V1.ShowCheckpointResponse shown = await daemon.Node.ShowCheckpointAsync(
            new V1.ShowCheckpointRequest { Checkpoint = checkpoint }, options).ResponseAsync.ConfigureAwait(false);
        ShowCommand.Print(
            output, CheckpointJson.From(shown.Checkpoint), [.. shown.Domains.Select(DomainReportJson.From)], json);
        return ExitCodes.Ok;
    }, cancellationToken);

    internal Task<int> VerifyAsync(string? checkpoint, bool json, CancellationToken cancellationToken) => RunAsync(async options =>
    {
        var request = new V1.VerifyRequest();
        if (checkpoint is not null)
        {
            request.Checkpoint = checkpoint;
        }

        using AsyncServerStreamingCall<V1.VerifyUpdate> call = daemon.Node.Verify(request, options);
        var findings = new List<Finding>();
        int checkpoints = 0;
        await foreach (V1.VerifyUpdate update in call.ResponseStream.ReadAllAsync(cancellationToken).ConfigureAwait(false))
        {
            checkpoints = (int)(update.Summary?.Checkpoints ?? 0);
            if (update.Finding is { } f)
            {
                findings.Add(new Finding(f.File, (long)f.Offset, f.Problem));
            }
        }

        return ShowCommand.PrintFindings(output, findings, checkpoints, json);
    }, cancellationToken);

    internal Task<int> RestoreAsync(
        string checkpoint, IReadOnlyList<string> domains, string? newName, bool disksOnly, bool json,
        CancellationToken cancellationToken) => RunAsync(async options =>
        {
            var request = new V1.RestoreRequest { Checkpoint = checkpoint, Domains = { domains }, DisksOnly = disksOnly };
            if (newName is not null)
            {
                request.NewName = newName;
            }

            V1.RestoreResult result = await ProgressDisplay.RunAsync("restoring", async progress =>
            {
                using AsyncServerStreamingCall<V1.RestoreUpdate> call = daemon.Node.Restore(request, options);
                V1.RestoreResult? last = null;
                await foreach (V1.RestoreUpdate update in call.ResponseStream.ReadAllAsync(cancellationToken).ConfigureAwait(false))
                {
                    last = update.Result ?? last;
                    progress?.Report(last is null ? update.Fraction : 1);
                }

                return last ?? throw new StatusException(StatusCode.Unknown, "The daemon told no result.");
            }).ConfigureAwait(false);
            RestoreCommand.Print(
                output, [.. result.Domains.Select(d => (Guid.Parse(d.Uuid), d.Name, d.HasId ? (int?)d.Id : null))],
                Guid.Parse(result.CheckpointId), json);
            return ExitCodes.Ok;
        }, cancellationToken);

    internal Task<int> NodeAsync(bool json, CancellationToken cancellationToken) => RunAsync(async options =>
    {
        V1.Node node = await daemon.Node.GetNodeAsync(new V1.GetNodeRequest(), options).ResponseAsync.ConfigureAwait(false);
        if (json)
        {
            await output.WriteLineAsync(Json(Formatter, node)).ConfigureAwait(false);
            return ExitCodes.Ok;
        }

        await output.WriteLineAsync(string.Create(
            CultureInfo.InvariantCulture,
            $"""
            node {node.Name}{(node.ClusterId.Length > 0 ? $" of cluster {node.ClusterId}" : ", on its own")}
            state {Name(node.State)}, index {node.Sn}, durable {node.DurableSn}, incarnation {node.Incarnation}, protocol {node.Protocol}
            {node.Domains} guests on {node.Hypervisor}
            xtlckptd {node.Version}, since {node.Started.ToDateTimeOffset():u}{(node.Compression.Length > 0 ? $", compresses by {node.Compression}" : "")}
            """)).ConfigureAwait(false);
        if (node.Peers.Count > 0)
        {
            var table = new TextTable("PEER", "LINK", "INDEX", "DURABLE", "INCARNATION", "UNACKNOWLEDGED", "LAST HEARD");
            foreach (V1.Peer p in node.Peers)
            {
                table.Add(
                    p.Name, p.Connected ? "up" : "down", $"{p.Sn}", $"{p.DurableSn}", $"{p.Incarnation}", $"{p.Unacknowledged}",
                    p.LastHeard?.ToDateTimeOffset().ToString("u", CultureInfo.InvariantCulture) ?? "never");
            }

            table.Write(output);
        }

        if (node.Losses is { } lost && lost.Refused + lost.Flooding + lost.Strangers > 0)
        {
            await output.WriteLineAsync(
                $"frames lost: {lost.Refused} that the bridge did not take, {lost.Flooding} beyond 'floodLimit', "
                + $"{lost.Strangers} from addresses that no guest was given").ConfigureAwait(false);
        }

        return ExitCodes.Ok;
    }, cancellationToken);

    /// <summary>Prints events until it is interrupted. A daemon that ends ends the command, too.</summary>
    internal Task<int> EventsAsync(ulong? after, bool json, CancellationToken cancellationToken) => RunAsync(async options =>
    {
        var request = new V1.WatchEventsRequest { WithoutProgress = true };
        if (after is { } known)
        {
            request.After = known;
        }

        using AsyncServerStreamingCall<V1.Event> call = daemon.Node.WatchEvents(request, options);
        await foreach (V1.Event what in call.ResponseStream.ReadAllAsync(cancellationToken).ConfigureAwait(false))
        {
            await output.WriteLineAsync(json ? Json(LineFormatter, what) : Line(what)).ConfigureAwait(false);
            await output.FlushAsync(cancellationToken).ConfigureAwait(false);
        }

        return ExitCodes.Ok;
    }, cancellationToken);

    /// <summary>One event as a line for a person.</summary>
    internal static string Line(V1.Event e) => string.Create(
        CultureInfo.InvariantCulture, $"{e.At.ToDateTimeOffset():u} {e.Sequence} {What(e)}");

    private static string What(V1.Event e) => e.KindCase switch
    {
        V1.Event.KindOneofCase.State => $"the node is {Name(e.State)}",
        V1.Event.KindOneofCase.CheckpointProgress => $"checkpoint: {Name(e.CheckpointProgress.Stage)}",
        V1.Event.KindOneofCase.CheckpointTaken => string.Create(
            CultureInfo.InvariantCulture,
            $"checkpoint {e.CheckpointTaken.Id} epoch {e.CheckpointTaken.Epoch} index {e.CheckpointTaken.Index} ({Name(e.CheckpointTaken.Cause)}{Forcing(e.CheckpointTaken)}), pause {e.CheckpointTaken.Pause.ToTimeSpan().TotalMilliseconds:F1} ms"),
        V1.Event.KindOneofCase.CheckpointFailed => $"no checkpoint ({e.CheckpointFailed.Reason}): {e.CheckpointFailed.Message}",
        V1.Event.KindOneofCase.DurableSn => $"durable up to index {e.DurableSn}",
        V1.Event.KindOneofCase.PeerChanged => $"the link to {e.PeerChanged.Name} is {(e.PeerChanged.Connected ? "up" : "down")}",
        V1.Event.KindOneofCase.Recovered => $"recovered, {Name(e.Recovered.Action)}, at index {e.Recovered.Index}",
        V1.Event.KindOneofCase.Missed => $"{e.Missed.Events} events are not kept any more",
        _ => "something that this version of xtlctl does not know",
    };

    private static string Forcing(V1.CheckpointReport r) =>
        r.ForcedBy is { } by ? string.Create(CultureInfo.InvariantCulture, $" by {by.Node} with {by.Sn}") : "";

    // The formatter finds the names of an enum's values by reflection; these are the enums of the messages it is given.
    [DynamicDependency(DynamicallyAccessedMemberTypes.PublicFields, typeof(V1.NodeState))]
    [DynamicDependency(DynamicallyAccessedMemberTypes.PublicFields, typeof(V1.CheckpointStage))]
    [DynamicDependency(DynamicallyAccessedMemberTypes.PublicFields, typeof(V1.CheckpointCause))]
    [DynamicDependency(DynamicallyAccessedMemberTypes.PublicFields, typeof(V1.RecoverAction))]
    private static string Json(JsonFormatter formatter, IMessage message) => formatter.Format(message);

    // NodeState.Checkpointing is "checkpointing", RecoverAction.RollBack "rollBack".
    private static string Name<T>(T value)
        where T : struct, System.Enum => JsonNamingPolicy.CamelCase.ConvertName($"{value}");

    private async Task<int> RunAsync(Func<CallOptions, Task<int>> command, CancellationToken cancellationToken)
    {
        using (daemon)
        {
            try
            {
                return await command(new CallOptions(cancellationToken: cancellationToken)).ConfigureAwait(false);
            }
            catch (StatusException e) when (e.Code == StatusCode.Unavailable && e.Reason is null)
            {
                throw new StatusException(
                    StatusCode.Unavailable,
                    $"No daemon answers on {daemon.Socket} ({(File.Exists(daemon.Socket) ? e.Message.TrimEnd('.') : "there is no such socket")}). Start it ('systemctl start xtlckptd'), or do without "
                    + "it by '--direct'.", inner: e);
            }
        }
    }
}
