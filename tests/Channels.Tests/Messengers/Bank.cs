using System.Buffers.Binary;
using Xunit;

namespace XenTwoLevelCkpt.Channels.Tests;

/// <summary>A guest that sends money to other guests and takes what they send. Its whole state is a number; each transfer is
/// numbered by pair of guests, so a message that is missing or comes twice shows at once.</summary>
internal sealed class Bank(Guid id)
{
    private const int Length = 16;
    private readonly byte[] _message = new byte[Length];
    private Dictionary<Guid, long> _sent = [];
    private Dictionary<Guid, long> _received = [];

    internal Guid Id { get; } = id;

    internal long Money { get; private set; } = 1_000_000;

    internal void Send(GuestNetworkUplink network, Guid to, long amount)
    {
        Money -= amount;
        BinaryPrimitives.WriteInt64LittleEndian(_message, amount);
        _sent[to] = _sent.GetValueOrDefault(to) + 1;
        BinaryPrimitives.WriteInt64LittleEndian(_message.AsSpan(8), _sent[to]);
        network.Send(Id, to, [.. _message, .. Id.ToByteArray()]);
    }

    internal void Receive(GuestNetworkUplink network)
    {
        Span<byte> message = stackalloc byte[Length + 16];
        while (network.TryReceive(Id, message, out int length))
        {
            Assert.Equal(message.Length, length);
            var from = new Guid(message[Length..]);
            long number = BinaryPrimitives.ReadInt64LittleEndian(message[8..]);
            Assert.Equal(_received.GetValueOrDefault(from) + 1, number);
            _received[from] = number;
            Money += BinaryPrimitives.ReadInt64LittleEndian(message);
        }
    }

    internal (long Money, Dictionary<Guid, long> Sent, Dictionary<Guid, long> Received) Capture() =>
        (Money, new(_sent), new(_received));

    internal void Restore((long Money, Dictionary<Guid, long> Sent, Dictionary<Guid, long> Received) state)
    {
        Money = state.Money;
        _sent = new(state.Sent);
        _received = new(state.Received);
    }

    internal static long MoneyOf(ReadOnlyMemory<byte> message) => BinaryPrimitives.ReadInt64LittleEndian(message.Span);
}
