using Grpc.Core;
using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Rpc;

namespace XenTwoLevelCkpt.Daemon;

/// <summary>What went wrong, as the contract's statuses and reasons (node_control.proto).</summary>
internal static class Problems
{
    internal const string Busy = "BUSY";
    internal const string Cluster = "CLUSTER";
    internal const string Checkpoint = "CHECKPOINT";
    internal const string DirtyLogBusy = "DIRTY_LOG_BUSY";
    internal const string Disk = "DISK";
    internal const string DiskNotCovered = "DISK_NOT_COVERED";
    internal const string Domain = "DOMAIN";
    internal const string Hypervisor = "HYPERVISOR";
    internal const string Image = "IMAGE";
    internal const string Incarnation = "INCARNATION";
    internal const string Label = "LABEL";
    internal const string Limit = "LIMIT";
    internal const string Line = "LINE";
    internal const string NewName = "NEW_NAME";
    internal const string NewerDomain = "NEWER_DOMAIN";

    /// <summary>The host lacks what domains need that would come to it.</summary>
    internal const string Host = "HOST";
    internal const string NoHypervisor = "NO_HYPERVISOR";
    internal const string Node = "NODE";
    internal const string Partial = "PARTIAL";
    internal const string Promise = "PROMISE";
    internal const string Store = "STORE";
    internal const string SuspendTimeoutReason = "SUSPEND_TIMEOUT";

    internal static StatusException IsBusy(string message) =>
        StatusException.Because(StatusCode.FailedPrecondition, Busy, message);

    internal static StatusException Stopping() => new(StatusCode.Unavailable, "The daemon stops.");

    /// <summary>The status of what a library threw; null for a defect.</summary>
    internal static StatusException? StatusOf(Exception e)
    {
        Exception cause = e is CheckpointFailedException { InnerException: { } inner } ? inner : e;
        (StatusCode Code, string Reason)? found = cause switch
        {
            StatusException => null,
            CheckpointNotFoundException => (StatusCode.NotFound, Checkpoint),
            HypervisorUnavailableException => (StatusCode.Unavailable, NoHypervisor),
            DomainNotFoundException when e is not CheckpointFailedException => (StatusCode.NotFound, Domain),
            DiskNotCoveredException => (StatusCode.FailedPrecondition, DiskNotCovered),
            SuspendFailedException => (StatusCode.Aborted, SuspendTimeoutReason),
            DirtyLogBusyException => (StatusCode.Aborted, DirtyLogBusy),
            DiskException => (StatusCode.Aborted, Disk),
            HypervisorException or CheckpointFailedException => (StatusCode.Aborted, Hypervisor),
            ImageException or ChainBrokenException or InvalidDataException => (StatusCode.DataLoss, Image),
            IOException or UnauthorizedAccessException => (StatusCode.Aborted, Store),
            _ => null,
        };
        return e as StatusException
            ?? (found is { } f ? StatusException.Because(f.Code, f.Reason, e.Message, e) : null);
    }

    /// <summary>A recovery is pending.</summary>
    /// <param name="pending">The recovery.</param>
    internal static StatusException Interrupted(PendingRecovery pending) => IsBusy(
        $"A recovery to line {pending.Order.Line} with incarnation {pending.Order.Incarnation} has begun and not ended: run 'xtlctl cluster recover' again.");
}
