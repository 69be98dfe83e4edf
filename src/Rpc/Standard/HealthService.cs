using XenTwoLevelCkpt.Rpc.Server;
using ServingStatus = XenTwoLevelCkpt.Rpc.Standard.HealthCheckResponse.Types.ServingStatus;

namespace XenTwoLevelCkpt.Rpc.Standard;

/// <summary>The methods of grpc.health.v1.Health.</summary>
public static class HealthMethods
{
    private const string Service = "grpc.health.v1.Health";

    /// <summary>One answer.</summary>
    public static Method<HealthCheckRequest, HealthCheckResponse> Check { get; } =
        new(MethodKind.Unary, Service, "Check");

    /// <summary>The state now, and whenever it changes.</summary>
    public static Method<HealthCheckRequest, HealthCheckResponse> Watch { get; } =
        new(MethodKind.ServerStreaming, Service, "Watch");
}

/// <summary>grpc.health.v1: tells whether services can be called. Safe for use by several threads.</summary>
public sealed class HealthService
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, ServingStatus> _states = new(StringComparer.Ordinal) { [""] = ServingStatus.Serving };
    private TaskCompletionSource _changed = NewSignal();

    /// <summary>Says what a service is. Everybody who watches it is told.</summary>
    /// <param name="service">Its full name; empty for the server as a whole, which is serving from the start.</param>
    /// <param name="state">Its state.</param>
    public void Set(string service, ServingStatus state)
    {
        TaskCompletionSource changed;
        lock (_gate)
        {
            _states[service] = state;
            changed = _changed;
            _changed = NewSignal();
        }

        changed.SetResult();
    }

    /// <summary>The service for a server.</summary>
    public ServiceDefinition Define() => new ServiceBuilder(HealthReflection.Descriptor.Services[0])
        .Unary(HealthMethods.Check, CheckAsync)
        .ServerStreaming(HealthMethods.Watch, WatchAsync)
        .Build();

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private Task<HealthCheckResponse> CheckAsync(HealthCheckRequest request, CallContext call)
    {
        lock (_gate)
        {
            return _states.TryGetValue(request.Service, out ServingStatus state)
                ? Task.FromResult(new HealthCheckResponse { Status = state })
                : throw new StatusException(StatusCode.NotFound, "There is no such service.");
        }
    }

    private async Task WatchAsync(
        HealthCheckRequest request, IMessageWriter<HealthCheckResponse> responses, CallContext call)
    {
        using var end = CancellationTokenSource.CreateLinkedTokenSource(call.CancellationToken, call.Stopping);
        ServingStatus? told = null;
        while (true)
        {
            ServingStatus state;
            Task changed;
            lock (_gate)
            {
                state = _states.GetValueOrDefault(request.Service, ServingStatus.ServiceUnknown);
                changed = _changed.Task;
            }

            if (state != told)
            {
                await responses.WriteAsync(new HealthCheckResponse { Status = state }, end.Token).ConfigureAwait(false);
                told = state;
            }

            await changed.WaitAsync(end.Token).ConfigureAwait(false);
        }
    }
}
