using System.Buffers.Binary;
using XenTwoLevelCkpt.Hypervisor.Model;

namespace XenTwoLevelCkpt.Channels;

/// <summary>
/// The uplink of a model hypervisor, and the network of its guests: messages between guests of this node stay here, those to
/// others leave as frames. What a guest has been given and has not taken yet is part of a checkpoint, so nothing is lost
/// or comes twice over any number of recoveries.
/// </summary>
/// <remarks>A frame has the addresses that <see cref="AddressOf"/> derives, the EtherType for local experiments (IEEE
/// 802, clause 9.2.4), the UUIDs of sender and receiver in the order of their octets in .NET, the length of the message as
/// a 32-bit number, big-endian, and the message. Frames of any other form are not for these guests. Thread-safe.</remarks>
public sealed class GuestNetworkUplink : IUplink, IGuestNetwork
{
    private const ushort EtherType = 0x88B5;
    private const int Header = FrameBatch.MinFrame + 16 + 16 + sizeof(uint);

    // A guest that sends more than the channels carry is slowed down and not stopped: one that waits inside a step cannot
    // be suspended, and the checkpoint that would make room could not be taken.
    private const int Comfortable = 4096;
    private static readonly TimeSpan Slowdown = TimeSpan.FromMilliseconds(20);

    private readonly Lock _lock = new();
    private readonly LocalGuestNetwork _local = new();
    private readonly HashSet<Guid> _guests = [];

    // Of a lost node; frames are for them, and local guests do not reach them yet.
    private readonly HashSet<Guid> _arriving = [];
    private readonly Queue<byte[]> _leaving = new();
    private readonly ManualResetEventSlim _ready = new();
    private readonly ManualResetEventSlim _room = new(initialState: true);

    /// <summary>The longest message.</summary>
    public static int MaxMessage => FrameBatch.MaxFrame - Header;

    /// <inheritdoc/>
    public int HeaderSize => 0;

    /// <summary>False: the model's guests count their messages.</summary>
    public bool MayLose => false;

    /// <summary>0: a message that is for no guest here is for a guest elsewhere.</summary>
    public long Dropped => 0;

    /// <summary>Messages that are given to this node's guests and not taken yet.</summary>
    public LocalGuestNetwork Local => _local;

    /// <summary>Frames that wait to be read.</summary>
    public int Leaving
    {
        get
        {
            lock (_lock)
            {
                return _leaving.Count;
            }
        }
    }

    /// <summary>A guest's address: the first six octets of its UUID, as those of an individual that is administered locally
    /// (IEEE 802, clause 8.4).</summary>
    /// <param name="guest">The guest's UUID.</param>
    /// <param name="address">Receives six octets.</param>
    public static void AddressOf(Guid guest, Span<byte> address)
    {
        Span<byte> octets = stackalloc byte[16];
        _ = guest.TryWriteBytes(octets);
        octets[..6].CopyTo(address);
        address[0] = (byte)((address[0] & 0xFC) | 0x02);
    }

    /// <summary>A guest is on this node now.</summary>
    /// <param name="guest">Its UUID.</param>
    public void Attach(Guid guest)
    {
        lock (_lock)
        {
            _ = _guests.Add(guest);
        }
    }

    /// <summary>A guest is gone. What it was given and did not take is dropped.</summary>
    /// <param name="guest">Its UUID.</param>
    public void Detach(Guid guest)
    {
        lock (_lock)
        {
            _ = _guests.Remove(guest);
            _local.Restore(guest, []);
        }
    }

    /// <inheritdoc/>
    /// <exception cref="ArgumentException">The message is longer than <see cref="MaxMessage"/>.</exception>
    public void Send(Guid from, Guid to, ReadOnlySpan<byte> payload)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(payload.Length, MaxMessage, nameof(payload));
        lock (_lock)
        {
            if (_guests.Contains(to))
            {
                _local.Send(from, to, payload);
                return;
            }

            byte[] frame = new byte[Header + payload.Length];
            AddressOf(to, frame);
            AddressOf(from, frame.AsSpan(6));
            BinaryPrimitives.WriteUInt16BigEndian(frame.AsSpan(12), EtherType);
            _ = from.TryWriteBytes(frame.AsSpan(FrameBatch.MinFrame));
            _ = to.TryWriteBytes(frame.AsSpan(FrameBatch.MinFrame + 16));
            BinaryPrimitives.WriteInt32BigEndian(frame.AsSpan(Header - sizeof(uint)), payload.Length);
            payload.CopyTo(frame.AsSpan(Header));
            _leaving.Enqueue(frame);
            _ready.Set();
            if (_leaving.Count <= Comfortable)
            {
                return;
            }

            _room.Reset();
        }

        _ = _room.Wait(Slowdown);
    }

    /// <inheritdoc/>
    public bool TryReceive(Guid to, Span<byte> buffer, out int length) => _local.TryReceive(to, buffer, out length);

    /// <inheritdoc/>
    public bool Wait(TimeSpan timeout)
    {
        _ = _ready.Wait(timeout);
        lock (_lock)
        {
            if (_leaving.Count > 0)
            {
                return true;
            }

            _ready.Reset();
            return false;
        }
    }

    /// <inheritdoc/>
    public void Wake() => _ready.Set();

    /// <inheritdoc/>
    public int Read(Span<byte> frame)
    {
        lock (_lock)
        {
            if (!_leaving.TryDequeue(out byte[]? oldest))
            {
                return 0;
            }

            if (_leaving.Count <= Comfortable)
            {
                _room.Set();
            }

            oldest.CopyTo(frame);
            return oldest.Length;
        }
    }

    /// <inheritdoc/>
    public void Write(ReadOnlySpan<byte> frame, Audience? audience = null)
    {
        if (frame.Length < Header || BinaryPrimitives.ReadUInt16BigEndian(frame[12..]) != EtherType
            || BinaryPrimitives.ReadInt32BigEndian(frame[(Header - sizeof(uint))..]) != frame.Length - Header)
        {
            return;
        }

        var to = new Guid(frame.Slice(FrameBatch.MinFrame + 16, 16));
        lock (_lock)
        {
            // A frame whose receiver no peer was known to have went to all nodes.
            if ((_guests.Contains(to) || _arriving.Contains(to)) && audience?.Includes(to) != false)
            {
                _local.Send(new Guid(frame.Slice(FrameBatch.MinFrame, 16)), to, frame[Header..]);
            }
        }
    }

    /// <inheritdoc/>
    public byte[] Save()
    {
        using var state = new MemoryStream();
        using var writer = new BinaryWriter(state);
        lock (_lock)
        {
            foreach (Guid guest in _guests)
            {
                foreach (ReadOnlyMemory<byte> message in _local.InFlight(guest))
                {
                    writer.Write(guest.ToByteArray());
                    writer.Write(message.Length);
                    writer.Write(message.Span);
                }
            }
        }

        writer.Flush();
        return state.ToArray();
    }

    /// <inheritdoc/>
    public void Restore(ReadOnlySpan<byte> saved)
    {
        Dictionary<Guid, List<ReadOnlyMemory<byte>>> messages = Decode(saved);
        lock (_lock)
        {
            _leaving.Clear();
            _room.Set();
            foreach (Guid guest in _guests.Union(_arriving).Union(messages.Keys).ToArray())
            {
                _local.Restore(guest, messages.GetValueOrDefault(guest, []));
            }

            _arriving.Clear();
        }
    }

    /// <inheritdoc/>
    public void Admit(IReadOnlyCollection<Guid> guests, ReadOnlySpan<byte> saved)
    {
        ArgumentNullException.ThrowIfNull(guests);
        Dictionary<Guid, List<ReadOnlyMemory<byte>>> messages = Decode(saved);
        lock (_lock)
        {
            foreach (Guid guest in guests)
            {
                _ = _guests.Remove(guest);
                _ = _arriving.Add(guest);
                _local.Restore(guest, messages.GetValueOrDefault(guest, []));
            }
        }
    }

    /// <inheritdoc/>
    public void Join(IReadOnlyCollection<Guid> guests)
    {
        ArgumentNullException.ThrowIfNull(guests);
        lock (_lock)
        {
            _arriving.ExceptWith(guests);
            _guests.UnionWith(guests);
            for (int waiting = _leaving.Count; waiting > 0; waiting--)
            {
                byte[] frame = _leaving.Dequeue();
                var to = new Guid(frame.AsSpan(FrameBatch.MinFrame + 16, 16));
                if (guests.Contains(to))
                {
                    _local.Send(new Guid(frame.AsSpan(FrameBatch.MinFrame, 16)), to, frame.AsSpan(Header));
                }
                else
                {
                    _leaving.Enqueue(frame);
                }
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _ready.Dispose();
        _room.Dispose();
    }

    // By guest what it was given and has not taken.
    private static Dictionary<Guid, List<ReadOnlyMemory<byte>>> Decode(ReadOnlySpan<byte> saved)
    {
        var messages = new Dictionary<Guid, List<ReadOnlyMemory<byte>>>();
        while (!saved.IsEmpty)
        {
            int length = saved.Length < 20 ? -1 : BinaryPrimitives.ReadInt32LittleEndian(saved[16..]);
            if (length < 0 || length > saved.Length - 20)
            {
                throw new InvalidDataException("The messages saved with the checkpoint are cut.");
            }

            var guest = new Guid(saved[..16]);
            if (!messages.TryGetValue(guest, out List<ReadOnlyMemory<byte>>? waiting))
            {
                messages[guest] = waiting = [];
            }

            waiting.Add(saved.Slice(20, length).ToArray());
            saved = saved[(20 + length)..];
        }

        return messages;
    }
}
