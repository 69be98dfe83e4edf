namespace XenTwoLevelCkpt.Simulator;

/// <summary>Exit codes of <c>xtlsim</c>, those of <c>sysexits.h</c> where one fits.</summary>
internal static class ExitCodes
{
    /// <summary>All was done.</summary>
    internal const int Ok = 0;

    /// <summary>A trace was judged, and is wrong; or a command failed for a reason that has no code of its own.</summary>
    internal const int Failure = 1;

    /// <summary>EX_USAGE: a parameter is wrong.</summary>
    internal const int Usage = 64;

    /// <summary>EX_DATAERR: a file is damaged, cut, of another study, or cannot be read.</summary>
    internal const int Data = 65;

    /// <summary>EX_UNAVAILABLE: a program that is needed is not installed.</summary>
    internal const int Unavailable = 69;

    /// <summary>EX_CANTCREAT: a result cannot be written.</summary>
    internal const int CannotWrite = 73;

    /// <summary>128 + SIGINT: the user gave the command up.</summary>
    internal const int Interrupted = 130;
}
