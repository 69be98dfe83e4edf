using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Rpc.Client;

/// <summary>What a caller sets of one call.</summary>
/// <param name="Timeout">How long the call may take; null for ever. The server is told, and the client does not rely on
/// it. Beyond 49 days it is for ever.</param>
/// <param name="Headers">Goes out before the first message.</param>
/// <param name="CancellationToken">Gives the call up: whatever waits for it ends with an
/// <see cref="OperationCanceledException"/>, and the server is told.</param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct CallOptions(
    TimeSpan? Timeout = null, Metadata? Headers = null, CancellationToken CancellationToken = default);
