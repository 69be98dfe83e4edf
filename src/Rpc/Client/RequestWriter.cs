using System.Runtime.CompilerServices;
using Google.Protobuf;

namespace XenTwoLevelCkpt.Rpc.Client;

/// <summary>Sends the requests of a stream.</summary>
internal sealed class RequestWriter<TRequest, TResponse>(
    ClientCall<TResponse> call, StreamedContent<TRequest> content)
    where TRequest : class, IMessage<TRequest>, new()
    where TResponse : class, IMessage<TResponse>, new()
{
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    internal async ValueTask WriteAsync(TRequest message, CancellationToken cancellationToken)
    {
        try
        {
            Task<PipeMessageWriter<TRequest>> opening = content.Writer;
            PipeMessageWriter<TRequest> writer = opening.IsCompletedSuccessfully
                ? await opening.ConfigureAwait(false)
                : await opening.WaitAsync(call.Life).ConfigureAwait(false);
            if (!cancellationToken.CanBeCanceled)
            {
                _ = await writer.WriteAsync(message, call.Life).ConfigureAwait(false);
                return;
            }

            using var both = CancellationTokenSource.CreateLinkedTokenSource(call.Life, cancellationToken);
            _ = await writer.WriteAsync(message, both.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is not StatusException && !ClientCall<TResponse>.IsMisuse(e))
        {
            throw await call.WhyAsync(e, cancellationToken).ConfigureAwait(false);
        }
    }

    internal void Complete() => content.Complete();

    internal void Dispose()
    {
        call.Dispose();
        content.Abandon();
    }
}
