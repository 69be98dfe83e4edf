using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Protocol.Checking;

/// <summary>What a trace has of each kind of event, so far.</summary>
[StructLayout(LayoutKind.Auto)]
internal struct Tally
{
    internal long Records;
    internal long Sends;
    internal long Receives;
    internal long Lost;
    internal long Basic;
    internal long Forced;
    internal long Other;
    internal long CheckpointsFailed;
    internal long Failures;
    internal long Rollbacks;

    /// <summary>Checkpoints that rollbacks have undone.</summary>
    internal long Undone;

    /// <summary>Checkpoints that are on a Z-cycle.</summary>
    internal long Useless;
}
