using Grpc.Core;
using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Rpc;
using V1 = XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Daemon;

/// <summary>Checkpoints that no recovery can need.</summary>
internal static class NodeGarbage
{
    /// <summary>As <see cref="NodeDaemon.CollectGarbageAsync"/>.</summary>
    internal static async Task<V1.CollectGarbageResponse> CollectAsync(NodeCore core, NodeRuntime node, V1.CollectGarbageRequest request)
    {
        if (request.Line > (ulong)node.Channels.Messages.DurableIndex)
        {
            throw StatusException.Because(
                StatusCode.FailedPrecondition, Problems.Line,
                $"The line {request.Line} is above this node's durable index, {node.Channels.Messages.DurableIndex}: a recovery may go behind it.");
        }

        if (!await core.Turn.WaitAsync(0).ConfigureAwait(false))
        {
            throw Problems.IsBusy("A checkpoint, a recovery or a restore is under way; ask again when it has ended.");
        }

        try
        {
            if (node.File.State.Pending is { } pending)
            {
                throw Problems.Interrupted(pending);
            }

            long line = (long)request.Line;
            IReadOnlyList<CheckpointManifest> all = node.Store.Checkpoints;
            IReadOnlyList<CheckpointManifest> gone = request.DryRun
                ? [.. all.Where(m => m != all[^1] && !node.Checkpointing.IsNeeded(m, line))]
                : (await node.Checkpointing.Tidying.RunAsync(() => Retention.Apply(
                    node.Store, (core.Settings.Retention ?? new RetentionPolicy()) with { KeepCount = 1, MinGain = 0 }, DateTimeOffset.UtcNow,
                    m => node.Checkpointing.IsNeeded(m, line), node.Checkpointing.TidyingStopped)).ConfigureAwait(false)).Removed;
            return new V1.CollectGarbageResponse
            {
                Epochs = { gone.Select(m => m.Epoch).Order() },
                Bytes = (ulong)gone.Sum(m => m.Entries.Sum(d => d.Parts.Sum(p => p.Length))),
            };
        }
        finally
        {
            _ = core.Turn.Release();
            node.Queue.Wake();
        }
    }
}
