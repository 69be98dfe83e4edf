using System.Text;
using System.Threading.Channels;
using Grpc.Core;
using Microsoft.Extensions.Logging;
using XenTwoLevelCkpt.Checkpointing.Restore;
using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Images.Verification;
using XenTwoLevelCkpt.Rpc;
using V1 = XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Daemon;

/// <summary>xtlckpt.v1.NodeControl of a node.</summary>
/// <param name="node">The node; may still be starting.</param>
/// <param name="logger">Gets who asked for what changes something.</param>
/// <param name="stopping">Cancelled when the server is to stop.</param>
public sealed class ControlService(NodeDaemon node, ILogger logger, CancellationToken stopping) : V1.NodeControl.NodeControlBase
{
    private readonly DaemonLog _log = new(logger);

    private const int DefaultLimit = 100;
    private const int MaxLimit = 1000;

    /// <inheritdoc/>
    public override Task<V1.Node> GetNode(V1.GetNodeRequest request, ServerCallContext context) => AnswerAsync(node.Describe);

    /// <inheritdoc/>
    public override Task<V1.ListDomainsResponse> ListDomains(V1.ListDomainsRequest request, ServerCallContext context) =>
        AnswerAsync(() => new V1.ListDomainsResponse { Domains = { new DomainList(node).List() } });

    /// <inheritdoc/>
    public override Task<V1.Domain> SetDomain(V1.SetDomainRequest request, ServerCallContext context)
    {
        ArgumentNullException.ThrowIfNull(request);
        ArgumentNullException.ThrowIfNull(context);
        _log.Asked(nameof(SetDomain), Caller.Of(context));
        return AnswerAsync(() => new DomainList(node).Set(request));
    }

    /// <inheritdoc/>
    public override Task Checkpoint(
        V1.CheckpointRequest request, IServerStreamWriter<V1.CheckpointUpdate> responseStream, ServerCallContext context)
    {
        ArgumentNullException.ThrowIfNull(request);
        ArgumentNullException.ThrowIfNull(responseStream);
        ArgumentNullException.ThrowIfNull(context);
        _log.Asked(nameof(Checkpoint), Caller.Of(context));
        return GuardAsync(async () =>
        {
            if (Encoding.UTF8.GetByteCount(request.Label) > ImageFormat.MaxLabelLength)
            {
                throw StatusException.Because(
                    StatusCode.InvalidArgument, Problems.Label,
                    $"The label is longer than {ImageFormat.MaxLabelLength} octets.");
            }

            if (request.Label.Any(char.IsControl))
            {
                throw StatusException.Because(
                    StatusCode.InvalidArgument, Problems.Label, "The label has control characters.");
            }

            TimeSpan? timeout = request.SuspendTimeout?.ToTimeSpan();
            if (timeout < TimeSpan.FromMilliseconds(1) || timeout > TimeSpan.FromHours(1))
            {
                throw StatusException.Because(
                    StatusCode.InvalidArgument, Problems.SuspendTimeoutReason, "The time to suspend is 1 ms to 1 hour.");
            }

            await StreamAsync<V1.CheckpointProgress, V1.CheckpointReport>(
                progress => node.CheckpointAsync(
                    new CheckpointOrder
                    {
                        Label = request.Label,
                        Domains = request.Domains,
                        MemoryOnly = request.MemoryOnly,
                        SuspendTimeout = timeout,
                        Progress = progress,
                    },
                    context.CancellationToken),
                p => responseStream.WriteAsync(new V1.CheckpointUpdate { Progress = p }),
                r => responseStream.WriteAsync(new V1.CheckpointUpdate { Report = r })).ConfigureAwait(false);
        });
    }

    /// <inheritdoc/>
    public override Task<V1.ListCheckpointsResponse> ListCheckpoints(
        V1.ListCheckpointsRequest request, ServerCallContext context)
    {
        ArgumentNullException.ThrowIfNull(request);
        return AnswerAsync(() =>
        {
            if (request.Limit > MaxLimit)
            {
                throw StatusException.Because(
                    StatusCode.InvalidArgument, Problems.Limit, $"The limit {request.Limit} is above {MaxLimit}.");
            }

            int limit = request.Limit == 0 ? DefaultLimit : (int)request.Limit;
            List<CheckpointManifest> later = [.. node.Store.Checkpoints.Where(m => m.Epoch > request.AfterEpoch).Take(limit + 1)];
            return new V1.ListCheckpointsResponse
            {
                Checkpoints = { later.Take(limit).Select(From) },
                More = later.Count > limit,
            };
        });
    }

    /// <inheritdoc/>
    public override Task<V1.ShowCheckpointResponse> ShowCheckpoint(
        V1.ShowCheckpointRequest request, ServerCallContext context)
    {
        ArgumentNullException.ThrowIfNull(request);
        return AnswerAsync(() =>
        {
            CheckpointManifest manifest = node.Store.Find(request.Checkpoint);
            var restorer = new Restorer(node.Store);
            return new V1.ShowCheckpointResponse
            {
                Checkpoint = From(manifest),
                Domains =
                {
                    manifest.Domains.Select(d => restorer.ReadState(manifest.Id, d.Uuid).Report)
                        .OfType<Checkpointing.Node.DomainReport>().Select(Messages.From),
                },
            };
        });
    }

    /// <inheritdoc/>
    public override async Task<V1.CollectGarbageResponse> CollectGarbage(
        V1.CollectGarbageRequest request, ServerCallContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        _log.Asked(nameof(CollectGarbage), Caller.Of(context));
        V1.CollectGarbageResponse? response = null;
        await GuardAsync(async () => response = await node.CollectGarbageAsync(request).ConfigureAwait(false)).ConfigureAwait(false);
        return response!;
    }

    /// <inheritdoc/>
    public override Task Verify(
        V1.VerifyRequest request, IServerStreamWriter<V1.VerifyUpdate> responseStream, ServerCallContext context)
    {
        ArgumentNullException.ThrowIfNull(request);
        ArgumentNullException.ThrowIfNull(responseStream);
        ArgumentNullException.ThrowIfNull(context);
        return GuardAsync(async () =>
        {
            ICheckpointStore store = node.Store;
            CheckpointManifest? one = request.HasCheckpoint ? store.Find(request.Checkpoint) : null;
            var summary = new V1.VerifySummary { Checkpoints = one is null ? (uint)store.Checkpoints.Count : 1 };
            await StreamAsync<VerificationStep, bool>(
                progress => Task.Run(
                    () => Verify(store, one, progress, context.CancellationToken), context.CancellationToken),
                async step =>
                {
                    foreach (Finding finding in step.Findings)
                    {
                        summary.Findings++;
                        await responseStream.WriteAsync(new V1.VerifyUpdate { Finding = Messages.From(finding) })
                            .ConfigureAwait(false);
                    }

                    await responseStream.WriteAsync(new V1.VerifyUpdate
                    {
                        Progress = new V1.VerifyProgress { Images = (uint)step.Images, TotalImages = (uint)step.TotalImages },
                    }).ConfigureAwait(false);
                },
                _ => responseStream.WriteAsync(new V1.VerifyUpdate { Summary = summary })).ConfigureAwait(false);
        });
    }

    /// <inheritdoc/>
    public override Task Restore(
        V1.RestoreRequest request, IServerStreamWriter<V1.RestoreUpdate> responseStream, ServerCallContext context)
    {
        ArgumentNullException.ThrowIfNull(request);
        ArgumentNullException.ThrowIfNull(responseStream);
        ArgumentNullException.ThrowIfNull(context);
        _log.Asked(nameof(Restore), Caller.Of(context));
        return GuardAsync(() => StreamAsync<double, V1.RestoreResult>(
            progress => node.RestoreAsync(request, progress, context.CancellationToken),
            fraction => responseStream.WriteAsync(new V1.RestoreUpdate { Fraction = fraction }),
            result => responseStream.WriteAsync(new V1.RestoreUpdate { Result = result })));
    }

    /// <inheritdoc/>
    public override async Task<V1.RecoverResponse> Recover(V1.RecoverRequest request, ServerCallContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        _log.Asked(nameof(Recover), Caller.Of(context));
        V1.RecoverResponse? response = null;
        await GuardAsync(async () => response = await node.RecoverAsync(request, context.CancellationToken).ConfigureAwait(false))
            .ConfigureAwait(false);
        return response!;
    }

    /// <inheritdoc/>
    public override async Task WatchEvents(
        V1.WatchEventsRequest request, IServerStreamWriter<V1.Event> responseStream, ServerCallContext context)
    {
        ArgumentNullException.ThrowIfNull(request);
        ArgumentNullException.ThrowIfNull(responseStream);
        ArgumentNullException.ThrowIfNull(context);
        using var end = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, stopping);
        long last = node.Events.Last;

        // A number that this run has not reached is of an earlier run of the daemon: all that is kept is news.
        long after = !request.HasAfter ? last : request.After <= (ulong)last ? (long)request.After : 0;

        // So that the caller knows that nothing from now on escapes it.
        await context.WriteResponseHeadersAsync([]).ConfigureAwait(false);
        while (true)
        {
            V1.Event next = await node.Events.ReadAsync(after, end.Token).ConfigureAwait(false);
            after = (long)next.Sequence;
            if (!request.WithoutProgress || next.KindCase != V1.Event.KindOneofCase.CheckpointProgress)
            {
                await responseStream.WriteAsync(next, end.Token).ConfigureAwait(false);
            }
        }
    }

    private V1.Checkpoint From(CheckpointManifest manifest) =>
        Messages.From(manifest, node.Messages?.DurableIndex ?? 0, node.Store.IsExpendable(manifest.Epoch));

    private static bool Verify(
        ICheckpointStore store, CheckpointManifest? one, IProgress<VerificationStep> progress,
        CancellationToken cancellationToken)
    {
        if (one is null)
        {
            _ = Verifier.VerifyStore(store, progress.Report, new Restorer(store).Problem, cancellationToken);
            return true;
        }

        List<(Guid Domain, ManifestPart Part)> parts = [.. one.Entries.SelectMany(d => d.Parts.Select(p => (d.Uuid, p)))];
        progress.Report(new VerificationStep(0, parts.Count, store.Problems));
        for (int i = 0; i < parts.Count; i++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            IReadOnlyList<Finding> findings;
            try
            {
                findings = Verifier.VerifyChain(store, one.Id, parts[i].Domain, parts[i].Part.Content, parts[i].Part.Name);
            }
            catch (ChainBrokenException e)
            {
                findings = [new Finding(store.PathOf(one.Epoch, parts[i].Part.File), 0, e.Message.TrimEnd('.'))];
            }

            progress.Report(new VerificationStep(i + 1, parts.Count, findings));
        }

        progress.Report(new VerificationStep(
            parts.Count, parts.Count, [.. Verifier.VerifyMeaning(store, one, new Restorer(store).Problem)]));
        return true;
    }

    private static Task<T> AnswerAsync<T>(Func<T> answer)
    {
        try
        {
            return Task.FromResult(answer());
        }
        catch (Exception e) when (e is not StatusException && Problems.StatusOf(e) is not null)
        {
            throw Problems.StatusOf(e)!;
        }
    }

    private static async Task GuardAsync(Func<Task> action)
    {
        try
        {
            await action().ConfigureAwait(false);
        }
        catch (Exception e) when (e is not StatusException && Problems.StatusOf(e) is not null)
        {
            throw Problems.StatusOf(e)!;
        }
    }

    // Work tells its progress on whatever thread it runs on, and does not wait for the reader: of what a slow reader has not
    // taken, the oldest goes. Findings of a check never go: it waits.
    private static async Task StreamAsync<TProgress, TResult>(
        Func<IProgress<TProgress>, Task<TResult>> work, Func<TProgress, Task> tell, Func<TResult, Task> end)
    {
        var queue = Channel.CreateBounded<TProgress>(new BoundedChannelOptions(16)
        {
            FullMode = typeof(TProgress) == typeof(VerificationStep) ? BoundedChannelFullMode.Wait : BoundedChannelFullMode.DropOldest,
            SingleReader = true,
        });
        Task<TResult> working = work(new Queued<TProgress>(queue.Writer));
        _ = working.ContinueWith(
            _ => queue.Writer.TryComplete(), CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously,
            TaskScheduler.Default);
        try
        {
            await foreach (TProgress progress in queue.Reader.ReadAllAsync().ConfigureAwait(false))
            {
                await tell(progress).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException)
        {
            // The client is gone; the work knows by its token, and ends as it may.
            _ = queue.Writer.TryComplete();
            await ((Task)working).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            throw;
        }

        await end(await working.ConfigureAwait(false)).ConfigureAwait(false);
    }

    private sealed class Queued<T>(ChannelWriter<T> queue) : IProgress<T>
    {
        public void Report(T value)
        {
            while (!queue.TryWrite(value))
            {
                if (!queue.WaitToWriteAsync().AsTask().GetAwaiter().GetResult())
                {
                    return;
                }
            }
        }
    }
}
