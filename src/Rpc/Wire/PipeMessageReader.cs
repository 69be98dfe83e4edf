using System.Buffers;
using System.IO.Pipelines;
using System.Runtime.CompilerServices;
using Google.Protobuf;

namespace XenTwoLevelCkpt.Rpc;

/// <summary>Takes messages from a pipe. In the steady state a message costs its own memory and nothing else.</summary>
/// <param name="pipe">Where the bytes are.</param>
/// <param name="maxLength">The longest message taken, in octets.</param>
/// <param name="encoding">The peer's grpc-encoding, or null.</param>
/// <param name="unknownEncoding">How the call ends where a message is compressed in that encoding: UNIMPLEMENTED at a
/// server, INTERNAL at a client.</param>
internal sealed class PipeMessageReader<T>(
    PipeReader pipe, int maxLength, string? encoding, StatusCode unknownEncoding)
    where T : class, IMessage<T>, new()
{
    private static readonly MessageParser<T> Parser = new(() => new T());
    private static readonly bool IsPooled = typeof(T).IsAssignableTo(typeof(IPooledParsing));
    private StatusException? _broken;
    private int _busy;

    /// <summary>Reads the next message.</summary>
    /// <returns>The message, or null behind the last one.</returns>
    /// <exception cref="StatusException">The bytes are wrong. So is everything behind them.</exception>
    /// <exception cref="InvalidOperationException">Somebody else reads.</exception>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    internal async ValueTask<T?> ReadAsync(CancellationToken cancellationToken)
    {
        if (Interlocked.Exchange(ref _busy, 1) != 0)
        {
            throw new InvalidOperationException("The stream is being read already.");
        }

        try
        {
            while (true)
            {
                if (_broken is not null)
                {
                    throw _broken;
                }

                ReadResult result = await pipe.ReadAsync(cancellationToken).ConfigureAwait(false);
                if (result.IsCanceled)
                {
                    pipe.AdvanceTo(result.Buffer.Start);
                    throw new OperationCanceledException();
                }

                if (TryTake(result, out T? message))
                {
                    return message;
                }
            }
        }
        finally
        {
            Volatile.Write(ref _busy, 0);
        }
    }

    // True for a message, or for the end, which is null.
    private bool TryTake(in ReadResult result, out T? message)
    {
        message = null;
        ReadOnlySequence<byte> buffer = result.Buffer;
        FrameState state = MessageFrame.Read(buffer, maxLength, out ReadOnlySequence<byte> octets, out uint length);
        switch (state)
        {
            case FrameState.Message:
                try
                {
                    message = Parse(octets);
                }
                catch (InvalidProtocolBufferException e)
                {
                    _broken = new StatusException(
                        StatusCode.Internal, $"A message is no {typeof(T).Name}: {e.Message}", inner: e);
                }

                pipe.AdvanceTo(octets.End);
                return _broken is null;
            case FrameState.Incomplete when !result.IsCompleted:
                pipe.AdvanceTo(buffer.Start, buffer.End);
                return false;
            case FrameState.Incomplete when buffer.IsEmpty:
                pipe.AdvanceTo(buffer.End);
                return true;
            default:
                _broken = Refuse(state, length, buffer.Length);
                pipe.AdvanceTo(buffer.Start);
                return false;
        }
    }

    private static T Parse(in ReadOnlySequence<byte> octets)
    {
        if (IsPooled)
        {
            var message = new T();
            if (((IPooledParsing)message).TryParse(octets))
            {
                return message;
            }
        }

        return Parser.ParseFrom(octets);
    }

    private StatusException Refuse(FrameState state, uint length, long present) => state switch
    {
        FrameState.TooLong => new StatusException(
            StatusCode.ResourceExhausted, $"A message of {length} octets is longer than the {maxLength} that are taken."),
        FrameState.Compressed when encoding is not (null or "identity") => new StatusException(
            unknownEncoding, $"The encoding '{encoding}' is not known; 'identity' is the only one."),
        FrameState.Compressed => new StatusException(
            StatusCode.Internal, "A message is marked as compressed, and no encoding was announced."),
        FrameState.BadFlag => new StatusException(StatusCode.Internal, "A message begins with a flag that does not exist."),
        _ when present < MessageFrame.HeaderSize => new StatusException(
            StatusCode.Internal, $"The stream ends within a message's header, after {present} octets of it."),
        _ => new StatusException(
            StatusCode.Internal,
            $"The stream ends within a message, after {present - MessageFrame.HeaderSize} of its {length} octets."),
    };
}
