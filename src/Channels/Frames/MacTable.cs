using System.Buffers.Binary;

namespace XenTwoLevelCkpt.Channels;

/// <summary>Which peer a guest's address is behind: a learning bridge's table (IEEE 802.1D, clause 7.8), with the peers
/// as its ports. An address is one of its VLAN (IEEE 802.1Q, independent learning): the same one in two VLANs may be two guests'.
/// </summary>
/// <remarks>
/// <para>One thread at a time. A frame from a peer is never sent on to another one (split horizon): every peer has
/// a channel to every other.</para>
/// <para>Every operation but <see cref="Forget"/> takes constant time. Each peer has room of its own, in the order in which its
/// addresses were last seen: a guest that makes up addresses displaces those behind its own node, and no others.</para>
/// </remarks>
/// <param name="capacity">The most addresses behind one peer; where it is full, the one that was not seen for longest goes, and
/// frames to it are flooded until it is seen again.</param>
/// <param name="lifetime">How long an address is known after it was last seen.</param>
public sealed class MacTable(int capacity, TimeSpan lifetime)
{
    // IEEE 802.1Q, clause 9: a tag stands between the source and the EtherType.
    private const int TagAt = 12;
    private const int TagEnd = 16;
    private const int CustomerTag = 0x8100;
    private const int ServiceTag = 0x88A8;

    private readonly Dictionary<ulong, LinkedListNode<Entry>> _entries = [];
    private readonly Dictionary<int, LinkedList<Entry>> _peers = [];

    /// <summary>Addresses that are known, those that have aged included.</summary>
    public int Count => _entries.Count;

    /// <summary>A frame came from a peer: its source is behind it.</summary>
    /// <param name="frame">The frame, at least its header.</param>
    /// <param name="peer">The peer.</param>
    /// <param name="now">The present on a clock that only rises.</param>
    public void Learn(ReadOnlySpan<byte> frame, int peer, TimeSpan now)
    {
        ulong source = Address(frame[6..], frame);
        if (IsGroup(source))
        {
            return;
        }

        LinkedList<Entry> addresses = AddressesOf(peer);
        if (_entries.TryGetValue(source, out LinkedListNode<Entry>? node))
        {
            node.List!.Remove(node);
        }

        if (addresses.Count >= capacity)
        {
            // Its place is taken over: where the table is full, nothing is allocated.
            LinkedListNode<Entry> oldest = addresses.First!;
            addresses.RemoveFirst();
            _ = _entries.Remove(oldest.Value.Address);
            node ??= oldest;
        }

        node ??= new LinkedListNode<Entry>(new Entry());
        (node.Value.Address, node.Value.Peer, node.Value.Seen) = (source, peer, now);
        addresses.AddLast(node);
        _entries[source] = node;
    }

    /// <summary>The peer that a frame of a local guest goes to.</summary>
    /// <param name="frame">The frame, at least its header.</param>
    /// <param name="now">The present.</param>
    /// <returns>The peer; null for all of them: its destination is a group, or not known.</returns>
    public int? Find(ReadOnlySpan<byte> frame, TimeSpan now)
    {
        ulong destination = Address(frame, frame);
        return !IsGroup(destination) && _entries.TryGetValue(destination, out LinkedListNode<Entry>? node)
            && now - node.Value.Seen <= lifetime
            ? node.Value.Peer
            : null;
    }

    /// <summary>Forgets what is behind a peer that is gone.</summary>
    /// <param name="peer">The peer.</param>
    public void Forget(int peer)
    {
        if (_peers.Remove(peer, out LinkedList<Entry>? addresses))
        {
            foreach (Entry entry in addresses)
            {
                _ = _entries.Remove(entry.Address);
            }
        }
    }

    /// <summary>A frame's source address, without its VLAN: six octets, the first one uppermost.</summary>
    /// <param name="frame">The frame, at least its header.</param>
    internal static ulong SourceOf(ReadOnlySpan<byte> frame) =>
        ((ulong)BinaryPrimitives.ReadUInt16BigEndian(frame[6..]) << 32) | BinaryPrimitives.ReadUInt32BigEndian(frame[8..]);

    private LinkedList<Entry> AddressesOf(int peer)
    {
        if (!_peers.TryGetValue(peer, out LinkedList<Entry>? addresses))
        {
            _peers.Add(peer, addresses = new LinkedList<Entry>());
        }

        return addresses;
    }

    // With the number of the outermost VLAN above it; 0 without a tag, and for one that is of priority alone.
    private static ulong Address(ReadOnlySpan<byte> octets, ReadOnlySpan<byte> frame) =>
        ((ulong)Vlan(frame) << 48) | ((ulong)BinaryPrimitives.ReadUInt16BigEndian(octets) << 32) | BinaryPrimitives.ReadUInt32BigEndian(octets[2..]);

    private static int Vlan(ReadOnlySpan<byte> frame) =>
        frame.Length >= TagEnd && BinaryPrimitives.ReadUInt16BigEndian(frame[TagAt..]) is CustomerTag or ServiceTag
            ? BinaryPrimitives.ReadUInt16BigEndian(frame[(TagAt + 2)..]) & 0xFFF
            : 0;

    // The lowest bit of the first octet.
    private static bool IsGroup(ulong address) => (address >> 40 & 1) != 0;

    private sealed class Entry
    {
        internal ulong Address { get; set; }

        internal int Peer { get; set; }

        internal TimeSpan Seen { get; set; }
    }
}
