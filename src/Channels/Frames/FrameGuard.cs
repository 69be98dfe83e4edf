using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Channels;

/// <summary>Frames that were lost between the bridge and the channels, since the start.</summary>
/// <param name="Refused">Frames from other nodes that the bridge did not take.</param>
/// <param name="Flooding">Frames for all nodes beyond what a guest may send of them.</param>
/// <param name="Strangers">Frames from addresses that no guest was given, beyond the number of those that others learn.</param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct FrameLosses(long Refused, long Flooding, long Strangers);

/// <summary>Keeps one guest from taking the channels from all others: it bounds the frames that go to all nodes, and the addresses that
/// other nodes have to learn.</summary>
/// <remarks>
/// <para>A frame tells its source address alone, and a guest writes what it likes there. So each address that the toolstack gave to
/// a guest has an allowance of its own, and all others have one together: a guest that makes up addresses takes it from those that do the
/// same, such as bridges within guests.</para>
/// <para>An allowance is a token bucket that holds one second's frames. One thread at a time; a frame takes constant time.</para>
/// </remarks>
/// <param name="perSecond">Frames a second to all nodes for each guest's address; null for no limit.</param>
/// <param name="strangers">The most addresses that no guest was given and that others learn; further ones wait until one has been
/// silent for <paramref name="lifetime"/>.</param>
/// <param name="lifetime">How long other nodes know an address.</param>
internal sealed class FrameGuard(int? perSecond, int strangers, TimeSpan lifetime)
{
    private readonly Dictionary<ulong, LinkedListNode<(ulong Address, TimeSpan Seen)>> _strangers = [];
    private readonly LinkedList<(ulong Address, TimeSpan Seen)> _order = new();
    private readonly Allowance _common = new();
    private Dictionary<ulong, Allowance>? _guests;

    /// <summary>Frames that were not let through: for all nodes, and from strangers.</summary>
    internal (long Flooding, long Strangers) Dropped { get; private set; }

    /// <summary>The addresses that guests were given. Before it is called for the first time, none is a stranger.</summary>
    /// <param name="addresses">Six octets each, the first one uppermost.</param>
    internal void Know(IEnumerable<ulong> addresses)
    {
        Dictionary<ulong, Allowance>? before = _guests;
        _guests = addresses.Distinct().ToDictionary(a => a, a => before?.GetValueOrDefault(a) ?? new Allowance());
    }

    /// <summary>Whether a frame may leave. Counts it where not.</summary>
    /// <param name="source">Its source address, without its VLAN.</param>
    /// <param name="toAll">True where it goes to all nodes.</param>
    /// <param name="now">The present on a clock that only rises.</param>
    internal bool Admits(ulong source, bool toAll, TimeSpan now)
    {
        if (_guests is null)
        {
            return !toAll || Take(_common, now);
        }

        if (_guests.TryGetValue(source, out Allowance? own))
        {
            return !toAll || Take(own, now);
        }

        if (!IsKnown(source, now))
        {
            Dropped = (Dropped.Flooding, Dropped.Strangers + 1);
            return false;
        }

        return !toAll || Take(_common, now);
    }

    private bool Take(Allowance allowance, TimeSpan now)
    {
        if (perSecond is not int rate || allowance.Take(rate, now))
        {
            return true;
        }

        Dropped = (Dropped.Flooding + 1, Dropped.Strangers);
        return false;
    }

    // Those that were seen last are at the end.
    private bool IsKnown(ulong source, TimeSpan now)
    {
        if (_strangers.TryGetValue(source, out LinkedListNode<(ulong Address, TimeSpan Seen)>? node))
        {
            _order.Remove(node);
        }
        else
        {
            if (_strangers.Count >= strangers)
            {
                LinkedListNode<(ulong Address, TimeSpan Seen)> oldest = _order.First!;
                if (now - oldest.Value.Seen < lifetime)
                {
                    return false;
                }

                _order.RemoveFirst();
                _ = _strangers.Remove(oldest.Value.Address);
                node = oldest;
            }

            node ??= new(default);
            _strangers.Add(source, node);
        }

        node.Value = (source, now);
        _order.AddLast(node);
        return true;
    }

    private sealed class Allowance
    {
        private double _left = double.NaN;
        private TimeSpan _at;

        internal bool Take(int perSecond, TimeSpan now)
        {
            // It begins full.
            _left = double.IsNaN(_left) ? perSecond : Math.Min(perSecond, _left + ((now - _at).TotalSeconds * perSecond));
            _at = now;
            if (_left < 1)
            {
                return false;
            }

            _left--;
            return true;
        }
    }
}
