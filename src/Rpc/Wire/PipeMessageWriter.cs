using System.IO.Pipelines;
using System.Runtime.CompilerServices;
using Google.Protobuf;

namespace XenTwoLevelCkpt.Rpc;

/// <summary>Puts messages into a pipe, without memory of its own.</summary>
/// <param name="pipe">Where the bytes go.</param>
/// <param name="maxLength">The longest message sent, in octets.</param>
internal sealed class PipeMessageWriter<T>(PipeWriter pipe, int maxLength)
    where T : class, IMessage<T>, new()
{
    private int _busy;

    /// <summary>Puts a message into the pipe without sending it.</summary>
    /// <exception cref="StatusException">It is longer than the limit; nothing of it was put in.</exception>
    internal void Put(T message)
    {
        int length = message.CalculateSize();
        if (length > maxLength)
        {
            throw new StatusException(
                StatusCode.ResourceExhausted, $"A message of {length} octets is longer than the {maxLength} that are sent.");
        }

        MessageFrame.WriteHeader(pipe, length);
        message.WriteTo(pipe);
    }

    /// <summary>Sends a message.</summary>
    /// <returns>False where nobody reads any more.</returns>
    /// <exception cref="InvalidOperationException">Somebody else writes.</exception>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    internal async ValueTask<bool> WriteAsync(T message, CancellationToken cancellationToken)
    {
        if (Interlocked.Exchange(ref _busy, 1) != 0)
        {
            throw new InvalidOperationException("The stream is being written to already.");
        }

        try
        {
            Put(message);
            FlushResult flushed = await pipe.FlushAsync(cancellationToken).ConfigureAwait(false);
            return !flushed.IsCompleted;
        }
        finally
        {
            Volatile.Write(ref _busy, 0);
        }
    }
}
