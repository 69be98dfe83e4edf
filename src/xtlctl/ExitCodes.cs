using Grpc.Core;
using XenTwoLevelCkpt.Rpc;

namespace XenTwoLevelCkpt.Control;

/// <summary>Exit codes of <c>xtlctl</c>, those of <c>sysexits.h</c> where one fits.</summary>
internal static class ExitCodes
{
    /// <summary>All was done.</summary>
    internal const int Ok = 0;

    /// <summary>The command failed for a reason that has no code of its own.</summary>
    internal const int Failure = 1;

    /// <summary>The checkpoint is in the store, and a domain that nobody excluded is not in it.</summary>
    internal const int Partial = 3;

    /// <summary>EX_USAGE: the command line is wrong.</summary>
    internal const int Usage = 64;

    /// <summary>EX_DATAERR: an image is damaged.</summary>
    internal const int Damaged = 65;

    /// <summary>EX_NOINPUT: what the command names does not exist.</summary>
    internal const int NotFound = 66;

    /// <summary>EX_UNAVAILABLE: there is no Xen here.</summary>
    internal const int Unavailable = 69;

    /// <summary>EX_TEMPFAIL: something is in use; the same command may succeed later.</summary>
    internal const int Busy = 75;

    /// <summary>128 + SIGINT: the user gave the command up.</summary>
    internal const int Interrupted = 130;

    /// <summary>The code for what a daemon answered: the same as for the command without a daemon.</summary>
    /// <param name="e">The answer.</param>
    internal static int Of(StatusException e) => e switch
    {
        { Reason: "BUSY" or "DIRTY_LOG_BUSY" } => Busy,
        { Code: StatusCode.NotFound } => NotFound,
        { Code: StatusCode.InvalidArgument } => Usage,
        { Code: StatusCode.DataLoss } => Damaged,
        { Code: StatusCode.Unavailable } => Unavailable,
        { Code: StatusCode.Cancelled } => Interrupted,
        _ => Failure,
    };
}
