using Grpc.Core;
using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Daemon.Service;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Rpc;
using V1 = XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Daemon.Checkpoints;

/// <summary>Takes checkpoints that have begun, and tells of them. Used by whoever has the turn.</summary>
internal sealed class CheckpointTaker(NodeCore core, CheckpointQueue queue, NodeChannels channels, NodeCheckpointing checkpointing)
{
    private static readonly TimeSpan RaiseAgain = TimeSpan.FromSeconds(1);

    /// <summary>Takes a checkpoint.</summary>
    /// <param name="begun">Which.</param>
    /// <param name="order">What is wanted; null where nobody asked.</param>
    /// <param name="cancellationToken">Before the domains are suspended, gives it up.</param>
    /// <exception cref="CheckpointFailedException">It failed; the domains run.</exception>
    internal async Task<V1.CheckpointReport> SaveAsync(
        BegunCheckpoint begun, CheckpointOrder? order, CancellationToken cancellationToken)
    {
        CheckpointReport report = await checkpointing.Checkpointer.CheckpointAsync(
            (ulong)begun.Label, order?.Label ?? "", new Relay(core, order),
            new CheckpointSettings
            {
                Domains = order is null ? null : Resolve(order),
                MemoryOnly = order?.MemoryOnly == true ? true : null,
                SuspendTimeout = order?.SuspendTimeout,
                Before = Before(),
                AskAll = order is not null,

                // Messages of other nodes wait for it, and with them their guests.
                Urgent = begun.Cause is CheckpointCause.Forced or CheckpointCause.Recovery,

                // The index has to rise for others, also where there is nothing to save.
                AllowEmpty = begun.Cause is CheckpointCause.Forced or CheckpointCause.Recovery || core.Settings.Nodes.Count > 1,
            },
            cancellationToken).ConfigureAwait(false);
        core.Log.CheckpointTaken(
            report.Index, begun.Cause, report.Domains.Count, report.Pause.TotalMilliseconds, report.Epoch);
        foreach (LeftOutDomain domain in report.LeftOut.Where(d => d.Reason != "excluded"))
        {
            core.Log.LeftOut(report.Index, domain.Name, domain.Reason, domain.Message);
        }

        return Messages.From(report, begun.Cause, begun.ForcedBy);
    }

    // With other protocols the index is that of the checkpoint before. It does not change while a checkpoint is taken.
    private CheckpointPredecessor? Before()
    {
        (long saved, long reached) = (channels.Messages.SavedIndex, channels.Messages.Index);
        return reached > saved ? new CheckpointPredecessor((ulong)saved, (ulong)reached) : null;
    }

    /// <summary>A checkpoint is in the store, and the messages know it.</summary>
    /// <param name="report">What is told of it.</param>
    internal void Saved(V1.CheckpointReport report)
    {
        queue.Change(schedule => schedule.Saved());
        channels.Messages.DurableIndex = channels.Messages.SavedIndex;
        if (channels.Messages is not LoneNode)
        {
            channels.Messages.KnowGuests([.. checkpointing.Checkpointer.Configurations.SelectMany(core.Platform.AddressesOf)]);
        }

        core.Events.Add(new V1.Event { CheckpointTaken = report });
        core.Events.Add(new V1.Event { DurableSn = (ulong)channels.Messages.DurableIndex });
        checkpointing.Tidying.Begin();
    }

    /// <summary>A checkpoint failed.</summary>
    /// <param name="begun">Which.</param>
    /// <param name="e">Why.</param>
    internal void Failed(BegunCheckpoint begun, Exception e)
    {
        // Where the store is full, that makes room.
        checkpointing.Tidying.Begin();
        StatusException? status = Problems.StatusOf(e);
        if (status is null)
        {
            core.Log.Defect(e);
        }
        else
        {
            core.Log.CheckpointFailed(begun.Label, begun.Cause, e.Message);
        }

        core.Events.Add(new V1.Event
        {
            CheckpointFailed = new V1.Failure
            {
                Reason = status?.Reason ?? "",
                Message = status?.Message ?? "The daemon has a defect; its log tells more.",
            },
        });
    }

    /// <summary>The domains that an order names; null for all.</summary>
    /// <param name="order">The order.</param>
    /// <exception cref="StatusException">The node has peers, and is saved as a whole.</exception>
    /// <exception cref="DomainNotFoundException">One is not there.</exception>
    internal List<Guid>? Resolve(CheckpointOrder order)
    {
        if (order.Domains.Count == 0)
        {
            return null;
        }

        if (core.Settings.Nodes.Count > 1)
        {
            throw StatusException.Because(
                StatusCode.FailedPrecondition, Problems.Partial,
                "A node with peers is saved as a whole: a checkpoint of some domains would be none for its index.");
        }

        return [.. order.Domains.Select(d => core.Hypervisor.FindDomain(d) is { Id: not 0 } found
            ? found.Uuid
            : throw new DomainNotFoundException($"'{d}' that is a guest"))];
    }

    /// <summary>Takes the checkpoint that a line waits for: it is tried until it succeeds.</summary>
    /// <param name="cancellationToken">Gives up.</param>
    internal async Task RaiseAsync(CancellationToken cancellationToken)
    {
        while (queue.Schedule.Begun is { } begun)
        {
            try
            {
                V1.CheckpointReport report = await SaveAsync(begun, null, cancellationToken).ConfigureAwait(false);
                queue.Change(schedule => schedule.Taking());
                channels.Messages.CheckpointDone();
                Saved(report);
            }
            catch (CheckpointFailedException e)
            {
                Failed(begun, e);
                await Task.Delay(RaiseAgain, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    /// <summary>Progress for events and for the one who asked: each stage, and within it a few a second.</summary>
    private sealed class Relay(NodeCore core, CheckpointOrder? order) : IProgress<CheckpointProgress>
    {
        private static readonly TimeSpan Least = TimeSpan.FromMilliseconds(250);

        private CheckpointStage? _stage;
        private TimeSpan _told;

        public void Report(CheckpointProgress value)
        {
            // Guests have a limit of their own to suspend themselves in.
            core.Pulse.Quiet(value.Stage == CheckpointStage.Suspending ? order?.SuspendTimeout ?? core.Settings.SuspendTimeout : TimeSpan.Zero);
            if (value.Stage == CheckpointStage.Done
                || (value.Stage == _stage && WorkPulse.Now - _told < Least))
            {
                return;
            }

            _stage = value.Stage;
            _told = WorkPulse.Now;
            core.Events.Add(new V1.Event { CheckpointProgress = Messages.From(value) });
            order?.Progress?.Report(Messages.From(value));
        }
    }
}
