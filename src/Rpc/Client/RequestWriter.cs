using System.Runtime.CompilerServices;
using Google.Protobuf;

namespace XenTwoLevelCkpt.Rpc.Client;

/// <summary>Sends the requests of a stream.</summary>
internal sealed class RequestWriter<TRequest, TResponse>(
    ClientCall<TResponse> call, StreamedContent<TRequest> content) : IDisposable
    where TRequest : class, IMessage<TRequest>, new()
    where TResponse : class, IMessage<TResponse>, new()
{
    private readonly JoinedToken _life = new(call.Life);

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    internal async ValueTask WriteAsync(TRequest message, CancellationToken cancellationToken)
    {
        try
        {
            Task<PipeMessageWriter<TRequest>> opening = content.Writer;
            PipeMessageWriter<TRequest> writer = opening.IsCompletedSuccessfully
                ? await opening.ConfigureAwait(false)
                : await opening.WaitAsync(call.Life).ConfigureAwait(false);
            _ = await writer.WriteAsync(message, _life.With(cancellationToken)).ConfigureAwait(false);
        }
        catch (Exception e) when (e is not StatusException && !ClientCall<TResponse>.IsMisuse(e))
        {
            throw await call.WhyAsync(e, cancellationToken).ConfigureAwait(false);
        }
    }

    internal void Complete() => content.Complete();

    public void Dispose()
    {
        call.Dispose();
        content.Abandon();
        _life.Dispose();
    }
}
