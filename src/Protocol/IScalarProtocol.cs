using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Protocol;

/// <summary>The state of a node between checkpoints, in a form that can be stored and outlives a version of the code.
/// </summary>
/// <param name="Index">The index.</param>
/// <param name="Extra">What else the protocol keeps, in its own terms; 0 where it keeps nothing.</param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct ScalarState(long Index, long Extra);

/// <summary>A protocol whose messages carry one index, and whose state can be stored as two numbers.</summary>
/// <typeparam name="TSelf">The implementing struct.</typeparam>
public interface IScalarProtocol<TSelf> : IProtocol<TSelf, long>
    where TSelf : struct, IScalarProtocol<TSelf>
{
    /// <summary>The state. A checkpoint that is being taken is no part of it; <see cref="IProtocol{TSelf, TPiggyback}.Save"/>
    /// gives the state behind it.</summary>
    ScalarState State { get; }

    /// <summary>The node of which <see cref="State"/> was taken.</summary>
    /// <param name="state">The state, its index at least 0.</param>
    static abstract TSelf From(ScalarState state);
}
