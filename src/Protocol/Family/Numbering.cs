using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Protocol.Family;

/// <summary>The index of a node and the label of the checkpoint that it is taking, with the order of calls that all
/// protocols share.</summary>
[StructLayout(LayoutKind.Auto)]
internal struct Numbering
{
    /// <summary>The index that messages sent now carry.</summary>
    internal long Index;

    /// <summary>The label of the checkpoint being taken; 0 for none.</summary>
    internal long Label;

    internal readonly bool Pending => Label != 0;

    /// <summary>Begins a checkpoint unless one is being taken.</summary>
    internal bool Begin(long label)
    {
        if (Label != 0)
        {
            return false;
        }

        Label = label;
        return true;
    }

    /// <summary>Begins a checkpoint for a message.</summary>
    internal ReceiveDecision Force(long label)
    {
        Label = label;
        return ReceiveDecision.CheckpointFirst;
    }

    /// <summary>The checkpoint is saved: its label becomes the index.</summary>
    internal void Done()
    {
        Require();
        Index = Label;
        Label = 0;
    }

    /// <summary>The checkpoint never was.</summary>
    internal void Failed()
    {
        Require();
        Label = 0;
    }

    /// <summary>The numbering after the checkpoint being taken, if any.</summary>
    internal readonly Numbering Saved() => new() { Index = Label != 0 ? Label : Index };

    private readonly void Require()
    {
        if (Label == 0)
        {
            ThrowNone();
        }
    }

    [DoesNotReturn]
    private static void ThrowNone() => throw new InvalidOperationException(
        "No checkpoint is being taken; only one that OnTick, OnSend, OnReceive or OnRaise asked for can end.");
}
