namespace XenTwoLevelCkpt.Hypervisor.Model;

/// <summary>Carries messages between guests: reliable, and in order for each receiver.</summary>
/// <remarks>Safe for use by several threads. Two hypervisors that share one network stand for two nodes.</remarks>
public interface IGuestNetwork
{
    /// <summary>Sends a message.</summary>
    /// <param name="from">The UUID of the sending guest.</param>
    /// <param name="to">The UUID of the receiving guest, which need not exist yet.</param>
    /// <param name="payload">The message; copied.</param>
    void Send(Guid from, Guid to, ReadOnlySpan<byte> payload);

    /// <summary>Takes the oldest message for a guest.</summary>
    /// <param name="to">The UUID of the receiving guest.</param>
    /// <param name="buffer">Receives the message.</param>
    /// <param name="length">The message's bytes.</param>
    /// <returns>False when there is none.</returns>
    /// <exception cref="ArgumentException">The message does not fit into <paramref name="buffer"/>.</exception>
    bool TryReceive(Guid to, Span<byte> buffer, out int length);
}

/// <summary>A network inside the process: one queue for each receiver.</summary>
public sealed class LocalGuestNetwork : IGuestNetwork
{
    private readonly Lock _gate = new();
    private readonly Dictionary<Guid, Queue<byte[]>> _queues = [];

    /// <inheritdoc/>
    public void Send(Guid from, Guid to, ReadOnlySpan<byte> payload)
    {
        byte[] message = payload.ToArray();
        lock (_gate)
        {
            if (!_queues.TryGetValue(to, out Queue<byte[]>? queue))
            {
                _queues[to] = queue = new Queue<byte[]>();
            }

            queue.Enqueue(message);
        }
    }

    /// <inheritdoc/>
    public bool TryReceive(Guid to, Span<byte> buffer, out int length)
    {
        lock (_gate)
        {
            if (!_queues.TryGetValue(to, out Queue<byte[]>? queue) || !queue.TryPeek(out byte[]? message))
            {
                length = 0;
                return false;
            }

            message.CopyTo(buffer);
            length = message.Length;
            queue.Dequeue();
            return true;
        }
    }

    /// <summary>Messages sent and not yet received, oldest first: the state of the channels.</summary>
    /// <param name="to">The UUID of the receiving guest.</param>
    public IReadOnlyList<ReadOnlyMemory<byte>> InFlight(Guid to)
    {
        lock (_gate)
        {
            return _queues.TryGetValue(to, out Queue<byte[]>? queue)
                ? [.. queue.Select(static message => (ReadOnlyMemory<byte>)message.ToArray())]
                : [];
        }
    }

    /// <summary>Replaces the messages in flight to a guest, as a recovery does.</summary>
    /// <param name="to">The UUID of the receiving guest.</param>
    /// <param name="messages">Oldest first.</param>
    public void Restore(Guid to, IEnumerable<ReadOnlyMemory<byte>> messages)
    {
        var queue = new Queue<byte[]>(messages.Select(static message => message.ToArray()));
        lock (_gate)
        {
            _queues[to] = queue;
        }
    }
}
