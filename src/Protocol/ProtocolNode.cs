using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Protocol;

/// <summary>
/// A protocol's node together with its incarnation: the number of recoveries that it took part in. A host that never
/// recovers can use <typeparamref name="TProtocol"/> alone.
/// </summary>
/// <typeparam name="TProtocol">The protocol.</typeparam>
/// <typeparam name="TPiggyback">What its messages carry, beside the incarnation.</typeparam>
[StructLayout(LayoutKind.Auto)]
public struct ProtocolNode<TProtocol, TPiggyback>
    where TProtocol : struct, IProtocol<TProtocol, TPiggyback>
{
    /// <summary>The state of a node that has just taken its initial checkpoint, in incarnation 0.</summary>
    /// <param name="node">The node, 0 to <paramref name="nodes"/> - 1.</param>
    /// <param name="nodes">Nodes in the system.</param>
    public ProtocolNode(int node, int nodes) => Protocol = TProtocol.Create(node, nodes);

    /// <summary>The state of a node that goes on in an incarnation that has begun.</summary>
    /// <param name="protocol">The protocol's state.</param>
    /// <param name="incarnation">The incarnation.</param>
    public ProtocolNode(in TProtocol protocol, int incarnation)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(incarnation);
        Protocol = protocol;
        Incarnation = incarnation;
    }

    /// <summary>The protocol's state. A field, so that calls change it in place.</summary>
#pragma warning disable CA1051, MA0069 // A property would hand out copies of this mutable struct.
    public TProtocol Protocol;
#pragma warning restore CA1051, MA0069

    /// <summary>The incarnation that messages sent now carry.</summary>
    public int Incarnation { readonly get; private set; }

    /// <summary><see cref="IProtocol{TSelf, TPiggyback}.OnReceive"/>, after the incarnation of the message: an older one
    /// is of a past that was rolled back, or is sent again by its sender; a newer one has to wait until this node has
    /// recovered too.</summary>
    /// <param name="from">The sender.</param>
    /// <param name="incarnation">The sender's incarnation when it sent.</param>
    /// <param name="piggyback">What the message carries.</param>
    public ReceiveDecision OnReceive(int from, int incarnation, in TPiggyback piggyback) =>
        incarnation == Incarnation ? Protocol.OnReceive(from, piggyback)
        : incarnation < Incarnation ? ReceiveDecision.Reject
        : ReceiveDecision.Wait;

    /// <summary>The node goes back to a checkpoint in a recovery.</summary>
    /// <param name="saved">The protocol's state saved with that checkpoint.</param>
    /// <param name="line">k; 0 where the line was found by propagation.</param>
    /// <param name="incarnation">The incarnation that begins, above the present one.</param>
    public void OnRollback(in TProtocol saved, long line, int incarnation)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(incarnation, Incarnation);
        Protocol.OnRollback(saved, line);
        Incarnation = incarnation;
    }

    /// <summary>The node goes on without rollback in a recovery to line k, with a checkpoint first where its index is
    /// below k. It belongs to the new incarnation from now on.</summary>
    /// <param name="line">k.</param>
    /// <param name="incarnation">The incarnation that begins, above the present one.</param>
    /// <returns>True where a checkpoint begins; the node must send nothing before it is done.</returns>
    /// <exception cref="InvalidOperationException">A checkpoint is being taken: end it first.</exception>
    public bool OnSurvive(long line, int incarnation)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(incarnation, Incarnation);
        if (Protocol.PendingLabel != 0)
        {
            throw new InvalidOperationException("A checkpoint is being taken; report it done or failed before the recovery.");
        }

        bool begins = Protocol.OnRaise(line);
        Incarnation = incarnation;
        return begins;
    }
}
