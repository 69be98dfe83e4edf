using System.Diagnostics.CodeAnalysis;

namespace XenTwoLevelCkpt.Protocol.Family;

/// <summary>Checks of the order of calls that all protocols share.</summary>
internal static class Pending
{
    /// <summary>Refuses the end of a checkpoint that never began.</summary>
    internal static void Require(long label)
    {
        if (label == 0)
        {
            ThrowNone();
        }
    }

    [DoesNotReturn]
    private static void ThrowNone() => throw new InvalidOperationException(
        "No checkpoint is being taken; only one that OnTick, OnSend, OnReceive or OnRaise asked for can end.");
}
