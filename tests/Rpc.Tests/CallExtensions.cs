using Grpc.Core;

namespace XenTwoLevelCkpt.Rpc.Tests;

/// <summary>Streams of responses as tests read them.</summary>
internal static class CallExtensions
{
    /// <summary>The next response, or null behind the last one.</summary>
    internal static async Task<T?> ReadAsync<T>(this AsyncServerStreamingCall<T> call, CancellationToken cancellationToken = default)
        where T : class =>
        await call.ResponseStream.MoveNext(cancellationToken) ? call.ResponseStream.Current : null;

    /// <summary>All responses that are left.</summary>
    internal static IAsyncEnumerable<T> ReadAllAsync<T>(
        this AsyncServerStreamingCall<T> call, CancellationToken cancellationToken = default) =>
        call.ResponseStream.ReadAllAsync(cancellationToken);
}
