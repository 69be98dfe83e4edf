using XenTwoLevelCkpt.Protocol.Family;

namespace XenTwoLevelCkpt.Protocol;

/// <summary>What is to be done with a protocol that is chosen by name: the generic method makes every later call to the
/// protocol a direct one.</summary>
/// <typeparam name="TResult">What comes of it.</typeparam>
public interface IProtocolUse<out TResult>
{
    /// <summary>Called once, with the protocol that was named.</summary>
    /// <typeparam name="TProtocol">The protocol.</typeparam>
    /// <typeparam name="TPiggyback">What its messages carry.</typeparam>
    TResult With<TProtocol, TPiggyback>()
        where TProtocol : struct, IProtocol<TProtocol, TPiggyback>;
}

/// <summary>The protocols by name.</summary>
public static class ProtocolFamily
{
    private static readonly IEntry[] Entries =
    [
        new Entry<Bcs, long>(),
        new Entry<BcsAftersend, long>(),
        new Entry<LazyBcs, long>(),
        new Entry<ManivannanSinghal, long>(),
        new Entry<Bqf, IndexedVector>(),
        new Entry<Hmnr, HmnrPiggyback>(),
        new Entry<Fdas, DependencyVector>(),
        new Entry<Fdi, DependencyVector>(),
        new Entry<Nras, NoPiggyback>(),
        new Entry<Cas, NoPiggyback>(),
        new Entry<Cbr, NoPiggyback>(),
        new Entry<Uncoordinated, NoPiggyback>(),
        new Entry<ChandyLamport, long>(),
    ];

    private interface IEntry
    {
        ProtocolTraits Traits { get; }

        TResult Use<TResult>(IProtocolUse<TResult> use);
    }

    /// <summary>All protocols, in the order in which lists show them.</summary>
    public static IReadOnlyList<ProtocolTraits> All { get; } = Array.ConvertAll(Entries, entry => entry.Traits);

    /// <summary>Does something with the protocol of a name.</summary>
    /// <param name="name">A <see cref="ProtocolTraits.Name"/>; case does not matter.</param>
    /// <param name="use">What to do.</param>
    /// <exception cref="ArgumentException">No protocol has that name; the message lists those there are.</exception>
    public static TResult Use<TResult>(string name, IProtocolUse<TResult> use)
    {
        ArgumentNullException.ThrowIfNull(use);
        foreach (IEntry entry in Entries)
        {
            if (string.Equals(entry.Traits.Name, name, StringComparison.OrdinalIgnoreCase))
            {
                return entry.Use(use);
            }
        }

        throw new ArgumentException(
            $"unknown protocol '{name}'; known are {string.Join(", ", All.Select(traits => traits.Name))}", nameof(name));
    }

    private sealed class Entry<TProtocol, TPiggyback> : IEntry
        where TProtocol : struct, IProtocol<TProtocol, TPiggyback>
    {
        public ProtocolTraits Traits => TProtocol.Traits;

        public TResult Use<TResult>(IProtocolUse<TResult> use) => use.With<TProtocol, TPiggyback>();
    }
}
