namespace XenTwoLevelCkpt.Protocol.Family;

/// <summary>What the messages of a protocol carry that needs nothing on them.</summary>
public readonly record struct NoPiggyback;

/// <summary>A number for each node of the system. Immutable.</summary>
public sealed class DependencyVector
{
    private readonly int[] _values;

    /// <summary>Wraps an array that is not written to any more.</summary>
    internal DependencyVector(int[] values) => _values = values;

    /// <summary>The numbers, by node.</summary>
    public ReadOnlySpan<int> Values => _values;

    /// <summary>The number of a node.</summary>
    /// <param name="node">The node.</param>
    public int this[int node] => _values[node];

    /// <summary>The vector of a node in the interval after its initial checkpoint: itself 1, of the others nothing.
    /// </summary>
    internal static int[] Initial(int node, int nodes)
    {
        int[] values = new int[nodes];
        values[node] = 1;
        return values;
    }

    /// <summary>Before a change: gives a node an array of its own where a message has its present one.</summary>
    internal static void MakeOwn(ref int[] values, ref DependencyVector? sent)
    {
        if (sent is not null)
        {
            values = (int[])values.Clone();
            sent = null;
        }
    }

    /// <summary>True where any number is above that of another vector.</summary>
    internal bool HasNewsFor(int[] other)
    {
        int[] values = _values;
        for (int i = 0; i < values.Length; i++)
        {
            if (values[i] > other[i])
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Raises each number of another vector to this one's.</summary>
    internal void MergeInto(int[] other)
    {
        int[] values = _values;
        for (int i = 0; i < values.Length; i++)
        {
            other[i] = Math.Max(other[i], values[i]);
        }
    }
}

/// <summary>An index, and a number for each node of the system that means something for this index only. Immutable.
/// </summary>
public sealed class IndexedVector
{
    /// <summary>Wraps an array that is not written to any more.</summary>
    internal IndexedVector(long index, int[] values)
    {
        Index = index;
        Values = new DependencyVector(values);
    }

    /// <summary>The sender's index.</summary>
    public long Index { get; }

    /// <summary>The numbers, by node.</summary>
    public DependencyVector Values { get; }
}

/// <summary>What messages of <see cref="Hmnr"/> carry. Immutable.</summary>
public sealed class HmnrPiggyback
{
    /// <summary>Wraps arrays that are not written to any more.</summary>
    internal HmnrPiggyback(long clock, bool[] greater, bool[] taken, int[] checkpoints)
    {
        Clock = clock;
        Greater = greater;
        Taken = taken;
        Checkpoints = checkpoints;
    }

    /// <summary>The sender's clock.</summary>
    public long Clock { get; }

    /// <summary>Stands for any message where only it matters that arrays are shared.</summary>
    internal static HmnrPiggyback Shared { get; } = new(0, [], [], []);

    internal bool[] Greater { get; }

    internal bool[] Taken { get; }

    internal int[] Checkpoints { get; }
}
