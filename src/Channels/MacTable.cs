using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Channels;

/// <summary>Which peer a guest's address is behind: a learning bridge's table (IEEE 802.1D, clause 7.8), with the peers
/// as its ports.</summary>
/// <remarks>One thread at a time. A frame from a peer is never sent on to another one (split horizon): every peer has
/// a channel to every other.</remarks>
/// <param name="capacity">The most addresses; where it is full, new ones are not learned, and their frames flooded.</param>
/// <param name="lifetime">How long an address is known after it was last seen.</param>
public sealed class MacTable(int capacity, TimeSpan lifetime)
{
    private readonly Dictionary<ulong, Entry> _entries = new(capacity);

    /// <summary>Addresses that are known, those that have aged included.</summary>
    public int Count => _entries.Count;

    /// <summary>A frame came from a peer: its source is behind it.</summary>
    /// <param name="frame">The frame, at least its header.</param>
    /// <param name="peer">The peer.</param>
    /// <param name="now">The present on a clock that only rises.</param>
    public void Learn(ReadOnlySpan<byte> frame, int peer, TimeSpan now)
    {
        ulong source = Address(frame[6..]);
        if (IsGroup(source))
        {
            return;
        }

        if (_entries.ContainsKey(source) || _entries.Count < capacity || Forget(now))
        {
            _entries[source] = new Entry(peer, now);
        }
    }

    /// <summary>The peer that a frame of a local guest goes to.</summary>
    /// <param name="frame">The frame, at least its header.</param>
    /// <param name="now">The present.</param>
    /// <returns>The peer; null for all of them: its destination is a group, or not known.</returns>
    public int? Find(ReadOnlySpan<byte> frame, TimeSpan now)
    {
        ulong destination = Address(frame);
        return !IsGroup(destination) && _entries.TryGetValue(destination, out Entry entry) && now - entry.Seen <= lifetime
            ? entry.Peer
            : null;
    }

    /// <summary>Forgets what is behind a peer that is gone.</summary>
    /// <param name="peer">The peer.</param>
    public void Forget(int peer)
    {
        foreach (ulong address in _entries.Where(e => e.Value.Peer == peer).Select(e => e.Key).ToArray())
        {
            _ = _entries.Remove(address);
        }
    }

    // True where that made room.
    private bool Forget(TimeSpan now)
    {
        foreach (ulong address in _entries.Where(e => now - e.Value.Seen > lifetime).Select(e => e.Key).ToArray())
        {
            _ = _entries.Remove(address);
        }

        return _entries.Count < capacity;
    }

    private static ulong Address(ReadOnlySpan<byte> octets) =>
        ((ulong)BinaryPrimitives.ReadUInt16BigEndian(octets) << 32) | BinaryPrimitives.ReadUInt32BigEndian(octets[2..]);

    // The lowest bit of the first octet.
    private static bool IsGroup(ulong address) => (address >> 40 & 1) != 0;

    [StructLayout(LayoutKind.Auto)]
    private readonly record struct Entry(int Peer, TimeSpan Seen);
}
