using System.Runtime.CompilerServices;
using Google.Protobuf;
using Microsoft.AspNetCore.Http;

namespace XenTwoLevelCkpt.Rpc.Server;

/// <summary>One call at the server: its streams.</summary>
internal sealed class ServerCall(HttpContext http, CallContext context, RpcServerOptions options)
{
    internal CallContext Context { get; } = context;

    internal ServerMessageReader<T> Reader<T>()
        where T : class, IMessage<T>, new()
    {
        string? encoding = http.Request.Headers[RpcServer.EncodingHeader];
        return new ServerMessageReader<T>(
            new PipeMessageReader<T>(
                http.Request.BodyReader, options.MaxReceiveLength, encoding, StatusCode.Unimplemented),
            Join());
    }

    internal ServerMessageWriter<T> Writer<T>()
        where T : class, IMessage<T>, new() => new(
            new PipeMessageWriter<T>(http.Response.BodyWriter, options.MaxSendLength), Context, Join());

    private JoinedToken Join()
    {
        var token = new JoinedToken(Context.CancellationToken);
        http.Response.RegisterForDispose(token);
        return token;
    }
}

/// <summary>Requests.</summary>
internal sealed class ServerMessageReader<T>(PipeMessageReader<T> reader, JoinedToken call) : IMessageReader<T>
    where T : class, IMessage<T>, new()
{
    /// <inheritdoc/>
    public ValueTask<T?> ReadAsync(CancellationToken cancellationToken = default) =>
        ReadFromClientAsync(call.With(cancellationToken));

    /// <summary>Reads the one request of a call whose requests are no stream.</summary>
    /// <exception cref="StatusException">There is none, or more than one: UNIMPLEMENTED (statuscodes.md, "Request
    /// cardinality violation").</exception>
    internal async Task<T> ReadOnlyOneAsync()
    {
        T only = await ReadFromClientAsync(call.With(default)).ConfigureAwait(false)
            ?? throw new StatusException(StatusCode.Unimplemented, "The method takes one request, and there is none.");
        return await ReadFromClientAsync(call.With(default)).ConfigureAwait(false) is null
            ? only
            : throw new StatusException(StatusCode.Unimplemented, "The method takes one request, and there are more.");
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<T?> ReadFromClientAsync(CancellationToken cancellationToken)
    {
        try
        {
            return await reader.ReadAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (IOException e)
        {
            // The stream was reset or its connection broke. Kestrel may say so here before it cancels the call.
            throw new OperationCanceledException("The client is gone.", e);
        }
    }
}

/// <summary>Responses.</summary>
internal sealed class ServerMessageWriter<T>(PipeMessageWriter<T> writer, CallContext context, JoinedToken call)
    : IMessageWriter<T>
    where T : class, IMessage<T>, new()
{
    /// <inheritdoc/>
    public ValueTask WriteAsync(T message, CancellationToken cancellationToken = default)
    {
        context.CancellationToken.ThrowIfCancellationRequested();
        context.ApplyHeaders();
        return EndAsync(writer.WriteAsync(message, call.With(cancellationToken)));
    }

    internal void Put(T message)
    {
        context.ApplyHeaders();
        writer.Put(message);
    }

    private static ValueTask EndAsync(ValueTask<bool> write)
    {
        if (!write.IsCompletedSuccessfully)
        {
            return AwaitedAsync(write);
        }

        Check(write.Result);
        return ValueTask.CompletedTask;
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private static async ValueTask AwaitedAsync(ValueTask<bool> write) => Check(await write.ConfigureAwait(false));

    private static void Check(bool taken)
    {
        if (!taken)
        {
            throw new OperationCanceledException("The client does not read any more.");
        }
    }
}
