using System.Runtime.CompilerServices;

namespace XenTwoLevelCkpt.Rpc;

/// <summary>Messages that a peer sends, one after the other. One reader at a time.</summary>
/// <typeparam name="T">The messages' type.</typeparam>
public interface IMessageReader<T>
    where T : class
{
    /// <summary>Waits for the next message. Nothing is read ahead beyond HTTP/2's window, so a peer that is not read from
    /// waits.</summary>
    /// <param name="cancellationToken">Gives up the wait, and by that the call.</param>
    /// <returns>The message, or null behind the last one.</returns>
    /// <exception cref="StatusException">The peer's bytes are wrong, or (at a client) the call ended with another status
    /// than OK.</exception>
    /// <exception cref="OperationCanceledException">The call was cancelled.</exception>
    ValueTask<T?> ReadAsync(CancellationToken cancellationToken = default);
}

/// <summary>Messages for a peer. One writer at a time.</summary>
/// <typeparam name="T">The messages' type.</typeparam>
public interface IMessageWriter<in T>
    where T : class
{
    /// <summary>Sends a message; waits while the peer takes no more.</summary>
    /// <param name="message">The message; not changed until the call is over.</param>
    /// <param name="cancellationToken">Gives up the wait, and by that the call.</param>
    /// <exception cref="StatusException">The message is longer than the limit, or (at a client) the call is over.
    /// </exception>
    /// <exception cref="OperationCanceledException">The call was cancelled.</exception>
    ValueTask WriteAsync(T message, CancellationToken cancellationToken = default);
}

/// <summary>What can be done with all readers.</summary>
public static class MessageReaderExtensions
{
    /// <summary>All messages that are left.</summary>
    /// <typeparam name="T">The messages' type.</typeparam>
    /// <param name="reader">The reader.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    public static async IAsyncEnumerable<T> ReadAllAsync<T>(
        this IMessageReader<T> reader, [EnumeratorCancellation] CancellationToken cancellationToken = default)
        where T : class
    {
        while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false) is { } message)
        {
            yield return message;
        }
    }
}
