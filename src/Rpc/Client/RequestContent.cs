using System.Buffers;
using System.IO.Pipelines;
using System.Net;
using System.Net.Http.Headers;
using Google.Protobuf;

namespace XenTwoLevelCkpt.Rpc.Client;

/// <summary>The one request of a call. Serialised at once, so that the caller may change the message afterwards.</summary>
internal sealed class SingleContent<T> : HttpContent
    where T : class, IMessage<T>, new()
{
    private readonly ReadOnlyMemory<byte> _octets;

    internal SingleContent(T message, RpcChannelOptions options)
    {
        int length = message.CalculateSize();
        if (length > options.MaxSendLength)
        {
            throw new StatusException(
                StatusCode.ResourceExhausted,
                $"A message of {length} octets is longer than the {options.MaxSendLength} that are sent.");
        }

        var buffer = new ArrayBufferWriter<byte>(MessageFrame.HeaderSize + length);
        MessageFrame.WriteHeader(buffer, length);
        message.WriteTo(buffer);
        _octets = buffer.WrittenMemory;
        Headers.ContentType = ContentTypes.Grpc;
    }

    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) =>
        SerializeToStreamAsync(stream, context, CancellationToken.None);

    protected override Task SerializeToStreamAsync(
        Stream stream, TransportContext? context, CancellationToken cancellationToken) =>
        stream.WriteAsync(_octets, cancellationToken).AsTask();

    // A length would have to be a header of its own; END_STREAM tells as much.
    protected override bool TryComputeLength(out long length)
    {
        length = 0;
        return false;
    }
}

/// <summary>What a call knows of its stream of requests.</summary>
internal interface IRequestStream
{
    /// <summary>Says which token is cancelled when this side gives the call up.</summary>
    void SetLife(CancellationToken life);

    /// <summary>The call is over, and nobody may write any more.</summary>
    void Abandon();
}

/// <summary>A stream of requests: hands HTTP/2's stream to the writer until the last message is sent.</summary>
internal sealed class StreamedContent<T> : HttpContent, IRequestStream
    where T : class, IMessage<T>, new()
{
    // HttpClient makes a DATA frame, and a call to whoever sends it, of each buffer or of each 16 KiB of it. Pipes take 4 KiB
    // where nothing is said.
    private const int BufferSize = 64 << 10;

    private readonly int _maxLength;
    private readonly TaskCompletionSource<PipeMessageWriter<T>> _writer =
        new(TaskCreationOptions.RunContinuationsAsynchronously);

    private readonly TaskCompletionSource _complete = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private CancellationToken _life;
    private bool _sent;

    internal StreamedContent(RpcChannelOptions options)
    {
        _maxLength = options.MaxSendLength;
        Headers.ContentType = ContentTypes.Grpc;
    }

    /// <summary>Ends once there is a connection; cancelled where none came about.</summary>
    internal Task<PipeMessageWriter<T>> Writer => _writer.Task;

    /// <summary>No more messages follow.</summary>
    internal void Complete() => _complete.TrySetResult();

    /// <inheritdoc/>
    public void SetLife(CancellationToken life) => _life = life;

    /// <inheritdoc/>
    public void Abandon()
    {
        _ = _writer.TrySetCanceled();
        _ = _complete.TrySetCanceled();
    }

    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) =>
        SerializeToStreamAsync(stream, context, CancellationToken.None);

    protected override async Task SerializeToStreamAsync(
        Stream stream, TransportContext? context, CancellationToken cancellationToken)
    {
        // HttpClient repeats a request that a server refused to look at. What was written by then would be missing.
        if (_sent)
        {
            throw new IOException("The server refused the stream, and a stream of requests is not sent twice.");
        }

        _sent = true;

        // HTTP/2's headers leave with the first flush: the server shall see the call before the first message.
        await stream.FlushAsync(cancellationToken).ConfigureAwait(false);
        var pipe = PipeWriter.Create(stream, new StreamPipeWriterOptions(minimumBufferSize: BufferSize, leaveOpen: true));
        _ = _writer.TrySetResult(new PipeMessageWriter<T>(pipe, _maxLength));
        try
        {
            await _complete.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!_complete.Task.IsCanceled && !_life.IsCancellationRequested)
        {
            // The server reset the stream. HttpClient would tell this exception instead of the server's reason.
        }
    }

    protected override bool TryComputeLength(out long length)
    {
        length = 0;
        return false;
    }
}

internal static class ContentTypes
{
    internal static MediaTypeHeaderValue Grpc { get; } = new(Server.RpcServer.ContentType);
}
