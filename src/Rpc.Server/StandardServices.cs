using Grpc.HealthCheck;
using Grpc.Reflection;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using ServiceDescriptor = Google.Protobuf.Reflection.ServiceDescriptor;

namespace XenTwoLevelCkpt.Rpc.Server;

/// <summary>gRPC's own services: grpc.health.v1, and grpc.reflection.v1 and v1alpha.</summary>
public static class StandardServices
{
    /// <summary>Adds them.</summary>
    /// <param name="services">The host's services.</param>
    /// <param name="health">Whether services can be called, as whoever keeps it says.</param>
    /// <param name="reflected">The services that reflection tells of, beside health and itself.</param>
    public static IServiceCollection AddStandardServices(
        this IServiceCollection services, HealthServiceImpl health, params IEnumerable<ServiceDescriptor> reflected)
    {
        ServiceDescriptor[] all =
        [
            .. reflected, Grpc.Health.V1.Health.Descriptor, Grpc.Reflection.V1.ServerReflection.Descriptor,
            Grpc.Reflection.V1Alpha.ServerReflection.Descriptor,
        ];
        return services
            .AddSingleton(health)
            .AddSingleton(new ReflectionV1ServiceImpl(all))
            .AddSingleton(new ReflectionServiceImpl(all));
    }

    /// <summary>Maps them to a listener's endpoints.</summary>
    /// <param name="endpoints">The listener's endpoints.</param>
    public static void MapStandardServices(this IEndpointRouteBuilder endpoints)
    {
        _ = endpoints.MapGrpcService<HealthServiceImpl>();
        _ = endpoints.MapGrpcService<ReflectionV1ServiceImpl>();
        _ = endpoints.MapGrpcService<ReflectionServiceImpl>();
    }
}
