using Grpc.Core;
using Grpc.Core.Interceptors;

namespace XenTwoLevelCkpt.Rpc;

/// <summary>Makes what a client's calls throw <see cref="StatusException"/>, or <see cref="OperationCanceledException"/> where
/// the caller gave the call up. Streams of requests are not covered: what needs them maps by itself
/// (<see cref="ChannelCall"/>), without a wrapper a message.</summary>
internal sealed class StatusInterceptor : Interceptor
{
    /// <inheritdoc/>
    public override AsyncUnaryCall<TResponse> AsyncUnaryCall<TRequest, TResponse>(
        TRequest request, ClientInterceptorContext<TRequest, TResponse> context,
        AsyncUnaryCallContinuation<TRequest, TResponse> continuation)
    {
        AsyncUnaryCall<TResponse> call = continuation(request, context);
        return new AsyncUnaryCall<TResponse>(
            AnswerAsync(call.ResponseAsync, context.Options.CancellationToken), call.ResponseHeadersAsync, call.GetStatus,
            call.GetTrailers, call.Dispose);
    }

    /// <inheritdoc/>
    public override AsyncServerStreamingCall<TResponse> AsyncServerStreamingCall<TRequest, TResponse>(
        TRequest request, ClientInterceptorContext<TRequest, TResponse> context,
        AsyncServerStreamingCallContinuation<TRequest, TResponse> continuation)
    {
        AsyncServerStreamingCall<TResponse> call = continuation(request, context);
        return new AsyncServerStreamingCall<TResponse>(
            new Reader<TResponse>(call.ResponseStream, context.Options.CancellationToken), call.ResponseHeadersAsync,
            call.GetStatus, call.GetTrailers, call.Dispose);
    }

    private static async Task<T> AnswerAsync<T>(Task<T> answer, CancellationToken cancellation)
    {
        try
        {
            return await answer.ConfigureAwait(false);
        }
        catch (RpcException e)
        {
            throw StatusMapping.From(e, cancellation);
        }
    }

    private sealed class Reader<T>(IAsyncStreamReader<T> inner, CancellationToken call) : IAsyncStreamReader<T>
    {
        public T Current => inner.Current;

        public async Task<bool> MoveNext(CancellationToken cancellationToken)
        {
            try
            {
                return await inner.MoveNext(cancellationToken).ConfigureAwait(false);
            }
            catch (RpcException e)
            {
                throw StatusMapping.From(e, cancellationToken.IsCancellationRequested ? cancellationToken : call);
            }
        }
    }
}
