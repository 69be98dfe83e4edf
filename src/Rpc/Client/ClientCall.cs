using System.IO.Pipelines;
using System.Runtime.CompilerServices;
using Google.Protobuf;

namespace XenTwoLevelCkpt.Rpc.Client;

/// <summary>One call at the client: the answer, the status, the deadline.</summary>
internal sealed class ClientCall<TResponse> : IDisposable
    where TResponse : class, IMessage<TResponse>, new()
{
    // A message of 1 MiB would lie in 256 of a pipe's usual blocks of 4 KiB, and the shared pool keeps 32 of a size for each
    // processor: the rest would be allocated anew for each message.
    private static readonly StreamPipeReaderOptions ReadingInBlocks = new(bufferSize: 64 << 10, minimumReadSize: 16 << 10);

    private readonly HttpRequestMessage _request;
    private readonly RpcChannelOptions _limits;
    private readonly CallOptions _options;
    private readonly CancellationTokenSource _life;
    private readonly JoinedToken _reading;
    private readonly long _expires;
    private readonly Task<HttpResponseMessage> _answer;
    private PipeReader? _pipe;
    private PipeMessageReader<TResponse>? _reader;
    private StatusException? _status;
    private bool _ended;
    private bool _disposed;

    internal ClientCall(
        HttpMessageInvoker http, HttpRequestMessage request, RpcChannelOptions limits, CallOptions options,
        IRequestStream? requests)
    {
        _request = request;
        _limits = limits;
        _options = options;
        _life = CancellationTokenSource.CreateLinkedTokenSource(options.CancellationToken);
        _reading = new JoinedToken(_life.Token);
        _expires = long.MaxValue;
        SetHeaders();
        if (options.Timeout is { } timeout && timeout <= TimeSpan.Zero)
        {
            // At once: a timer would give the call a chance.
            _expires = Environment.TickCount64;
            _life.Cancel();
        }
        else if (options.Timeout is { } later && GrpcTimeout.IsFinite(later))
        {
            _expires = Environment.TickCount64 + (long)later.TotalMilliseconds;
            _life.CancelAfter(later);
        }

        requests?.SetLife(_life.Token);
        _answer = AnswerAsync(http, requests);
    }

    /// <summary>Cancelled when the call is over for this side.</summary>
    internal CancellationToken Life => _life.Token;

    /// <summary>What the server sent behind the messages, after the end.</summary>
    internal Metadata Trailers { get; private set; } = Metadata.Empty;

    /// <summary>What the server sent before the messages.</summary>
    internal async Task<Metadata> HeadersAsync() =>
        Take((await _answer.ConfigureAwait(false)).Headers);

    /// <summary>The next response, or null behind the last one, where the status is OK.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    internal async ValueTask<TResponse?> ReadAsync(CancellationToken cancellationToken)
    {
        if (_ended)
        {
            return _status is null ? null : throw _status;
        }

        ObjectDisposedException.ThrowIf(_disposed, this);

        HttpResponseMessage answer = await _answer.WaitAsync(cancellationToken).ConfigureAwait(false);
        TResponse? message;
        try
        {
            _reader ??= await OpenAsync(answer).ConfigureAwait(false);
            message = await ReadWithinAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (Exception e) when (!IsMisuse(e))
        {
            Exception failure = Judge(e, cancellationToken);
            if (failure is StatusException status)
            {
                Finish(status);
            }

            // Nothing of the answer can be used any more, so the server may stop.
            await _life.CancelAsync().ConfigureAwait(false);
            throw failure;
        }

        if (message is null)
        {
            Finish(ReadStatus(answer));
            if (_status is not null)
            {
                throw _status;
            }
        }

        return message;
    }

    /// <summary>Reads the response of a call whose responses are no stream.</summary>
    /// <exception cref="StatusException">There is none or more than one: UNIMPLEMENTED (statuscodes.md, "Response
    /// cardinality violation").</exception>
    internal async Task<TResponse> ReadOnlyOneAsync()
    {
        TResponse only = await ReadAsync(default).ConfigureAwait(false)
            ?? throw new StatusException(StatusCode.Unimplemented, "The server sent no response and says that all is well.");
        return await ReadAsync(default).ConfigureAwait(false) is null
            ? only
            : throw new StatusException(StatusCode.Unimplemented, "The server sent more than one response.");
    }

    /// <summary>Says why a write failed.</summary>
    internal async Task<Exception> WhyAsync(Exception e, CancellationToken cancellationToken)
    {
        if (_ended && _status is not null)
        {
            return _status;
        }

        try
        {
            // A server that has had enough answers before it resets the stream.
            HttpResponseMessage answer = await _answer.ConfigureAwait(false);
            if (AloneStatus(answer) is { } status)
            {
                return status;
            }
        }
        catch (Exception failure) when (failure is StatusException or OperationCanceledException)
        {
            return failure;
        }

        return Judge(e, cancellationToken);
    }

    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        if (!_ended)
        {
            _life.Cancel();
        }

        _pipe?.Complete();
        _reading.Dispose();
        _ = DisposeAnswerAsync();
    }

    private async Task DisposeAnswerAsync()
    {
        try
        {
            (await _answer.ConfigureAwait(false)).Dispose();
        }
        catch (Exception e) when (e is StatusException or OperationCanceledException)
        {
            // Nobody waits for the answer of a call that was given up.
        }

        _request.Dispose();
        _life.Dispose();
    }

    /// <summary>Whether the caller did what may not be done, such as reading twice at a time. (That something was disposed
    /// meanwhile is no misuse, but how a stream ends.)</summary>
    internal static bool IsMisuse(Exception e) => e.GetType() == typeof(InvalidOperationException);

    private void SetHeaders()
    {
        if (_options.Timeout is { } timeout)
        {
            _ = _request.Headers.TryAddWithoutValidation(GrpcTimeout.Header, GrpcTimeout.Format(timeout));
        }

        _ = _request.Headers.TryAddWithoutValidation("te", "trailers");
        _ = _request.Headers.TryAddWithoutValidation("user-agent", UserAgent.Value);
        _ = _request.Headers.TryAddWithoutValidation("grpc-accept-encoding", "identity");
        foreach (MetadataEntry entry in (_options.Headers ?? Metadata.Empty).Entries)
        {
            _ = _request.Headers.TryAddWithoutValidation(entry.Name, entry.Encoded);
        }
    }

    private async Task<HttpResponseMessage> AnswerAsync(HttpMessageInvoker http, IRequestStream? requests)
    {
        HttpResponseMessage answer;
        try
        {
            answer = await http.SendAsync(_request, _life.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is not StatusException)
        {
            Exception judged = Judge(e, default);
            requests?.Abandon();
            throw judged;
        }

        if (HttpFailure.Of(answer) is { } failure)
        {
            requests?.Abandon();
            answer.Dispose();
            throw failure;
        }

        return answer;
    }

    private async Task<PipeMessageReader<TResponse>> OpenAsync(HttpResponseMessage answer)
    {
        Stream stream = await answer.Content.ReadAsStreamAsync(_life.Token).ConfigureAwait(false);
        _pipe = PipeReader.Create(stream, ReadingInBlocks);
        string? encoding = answer.Headers.TryGetValues(Server.RpcServer.EncodingHeader, out IEnumerable<string>? values)
            ? values.FirstOrDefault()
            : null;
        return new PipeMessageReader<TResponse>(_pipe, _limits.MaxReceiveLength, encoding, StatusCode.Internal);
    }

    private ValueTask<TResponse?> ReadWithinAsync(CancellationToken cancellationToken) =>
        // The life ends with the options' token.
        _reader!.ReadAsync(_reading.With(cancellationToken == _options.CancellationToken ? default : cancellationToken));

    private static StatusException? AloneStatus(HttpResponseMessage answer) =>
        answer.Headers.NonValidated.Contains(StatusWire.Code)
            ? ReadStatus(answer)
            : null;

    private static StatusException? ReadStatus(HttpResponseMessage answer)
    {
        System.Net.Http.Headers.HttpResponseHeaders source =
            answer.Headers.NonValidated.Contains(StatusWire.Code) ? answer.Headers : answer.TrailingHeaders;
        return StatusWire.Read(Take(source), First(source, StatusWire.Code), First(source, StatusWire.Message));
    }

    private static string? First(System.Net.Http.Headers.HttpHeaders headers, string name) =>
        headers.NonValidated.TryGetValues(name, out System.Net.Http.Headers.HeaderStringValues values)
            ? values.FirstOrDefault()
            : null;

    private static Metadata Take(System.Net.Http.Headers.HttpHeaders headers)
    {
        var metadata = new Metadata();
        foreach ((string name, System.Net.Http.Headers.HeaderStringValues values) in headers.NonValidated)
        {
            foreach (string value in values)
            {
                // Octets that are not base64 are left out: the status is worth more than they.
                _ = metadata.TryTake(name, value);
            }
        }

        return metadata;
    }

    private void Finish(StatusException? status)
    {
        // The server may have been faster with its own clock's deadline, or with ending what was cancelled.
        _status = status is { Code: StatusCode.Cancelled } && Environment.TickCount64 >= _expires ? Expired(status) : status;
        Trailers = status?.Trailers ?? Take(_answer.Result.TrailingHeaders);
        _ended = true;
    }

    private Exception Judge(Exception e, CancellationToken cancellationToken)
    {
        if (e is StatusException)
        {
            return e;
        }

        if (_options.CancellationToken.IsCancellationRequested)
        {
            return new OperationCanceledException("The call was cancelled.", e, _options.CancellationToken);
        }

        if (cancellationToken.IsCancellationRequested)
        {
            return new OperationCanceledException("The call was cancelled.", e, cancellationToken);
        }

        if (_disposed)
        {
            return new OperationCanceledException("The call was disposed.", e);
        }

        return _life.IsCancellationRequested || (_expires <= Environment.TickCount64 && e is OperationCanceledException)
            ? Expired(e)
            : HttpFailure.Of(e);
    }

    private static StatusException Expired(Exception e) =>
        new(StatusCode.DeadlineExceeded, "The deadline has passed.", inner: e);
}

internal static class UserAgent
{
    internal static string Value { get; } =
        $"grpc-csharp-xtlckpt/{typeof(UserAgent).Assembly.GetName().Version?.ToString(3)}";
}
