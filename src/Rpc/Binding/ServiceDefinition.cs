using Google.Protobuf;
using Google.Protobuf.Reflection;
using XenTwoLevelCkpt.Rpc.Server;

namespace XenTwoLevelCkpt.Rpc;

/// <summary>Handles a call with one request and one response.</summary>
/// <typeparam name="TRequest">The request's type.</typeparam>
/// <typeparam name="TResponse">The response's type.</typeparam>
/// <param name="request">The request.</param>
/// <param name="call">The call.</param>
/// <returns>The response.</returns>
public delegate Task<TResponse> UnaryHandler<in TRequest, TResponse>(TRequest request, CallContext call);

/// <summary>Handles a call with one request and a stream of responses.</summary>
/// <typeparam name="TRequest">The request's type.</typeparam>
/// <typeparam name="TResponse">The responses' type.</typeparam>
/// <param name="request">The request.</param>
/// <param name="responses">Takes the responses until the task ends.</param>
/// <param name="call">The call.</param>
public delegate Task ServerStreamingHandler<in TRequest, out TResponse>(
    TRequest request, IMessageWriter<TResponse> responses, CallContext call)
    where TResponse : class;

/// <summary>Handles a call with a stream of requests and one response.</summary>
/// <typeparam name="TRequest">The requests' type.</typeparam>
/// <typeparam name="TResponse">The response's type.</typeparam>
/// <param name="requests">The requests.</param>
/// <param name="call">The call.</param>
/// <returns>The response.</returns>
public delegate Task<TResponse> ClientStreamingHandler<TRequest, TResponse>(
    IMessageReader<TRequest> requests, CallContext call)
    where TRequest : class;

/// <summary>Handles a call with a stream in both directions.</summary>
/// <typeparam name="TRequest">The requests' type.</typeparam>
/// <typeparam name="TResponse">The responses' type.</typeparam>
/// <param name="requests">The requests.</param>
/// <param name="responses">Takes the responses until the task ends.</param>
/// <param name="call">The call.</param>
public delegate Task BidirectionalHandler<TRequest, out TResponse>(
    IMessageReader<TRequest> requests, IMessageWriter<TResponse> responses, CallContext call)
    where TRequest : class
    where TResponse : class;

/// <summary>A service with a handler for each of its methods.</summary>
public sealed class ServiceDefinition
{
    internal ServiceDefinition(ServiceDescriptor descriptor, IReadOnlyList<MethodHandler> handlers)
    {
        Descriptor = descriptor;
        Handlers = handlers;
    }

    /// <summary>The service's full name.</summary>
    public string Name => Descriptor.FullName;

    /// <summary>What protoc knows of the service.</summary>
    public ServiceDescriptor Descriptor { get; }

    internal IReadOnlyList<MethodHandler> Handlers { get; }
}

/// <summary>Binds handlers to the methods of a service.</summary>
/// <param name="descriptor">The service.</param>
public sealed class ServiceBuilder(ServiceDescriptor descriptor)
{
    private readonly List<MethodHandler> _handlers = [];

    /// <summary>Binds a handler.</summary>
    /// <typeparam name="TRequest">The request's type.</typeparam>
    /// <typeparam name="TResponse">The response's type.</typeparam>
    /// <param name="method">The method.</param>
    /// <param name="handler">Its handler.</param>
    /// <exception cref="ArgumentException">The service has no such method of this kind, or it is bound already.</exception>
    public ServiceBuilder Unary<TRequest, TResponse>(
        Method<TRequest, TResponse> method, UnaryHandler<TRequest, TResponse> handler)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new() =>
        Bind(method, MethodKind.Unary, new UnaryMethodHandler<TRequest, TResponse>(method, handler));

    /// <inheritdoc cref="Unary"/>
    public ServiceBuilder ServerStreaming<TRequest, TResponse>(
        Method<TRequest, TResponse> method, ServerStreamingHandler<TRequest, TResponse> handler)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new() =>
        Bind(method, MethodKind.ServerStreaming, new ServerStreamingMethodHandler<TRequest, TResponse>(method, handler));

    /// <inheritdoc cref="Unary"/>
    public ServiceBuilder ClientStreaming<TRequest, TResponse>(
        Method<TRequest, TResponse> method, ClientStreamingHandler<TRequest, TResponse> handler)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new() =>
        Bind(method, MethodKind.ClientStreaming, new ClientStreamingMethodHandler<TRequest, TResponse>(method, handler));

    /// <inheritdoc cref="Unary"/>
    public ServiceBuilder Bidirectional<TRequest, TResponse>(
        Method<TRequest, TResponse> method, BidirectionalHandler<TRequest, TResponse> handler)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new() =>
        Bind(method, MethodKind.Bidirectional, new BidirectionalMethodHandler<TRequest, TResponse>(method, handler));

    /// <summary>Ends the binding.</summary>
    /// <exception cref="InvalidOperationException">A method of the service has no handler.</exception>
    public ServiceDefinition Build()
    {
        foreach (MethodDescriptor method in descriptor.Methods)
        {
            if (!_handlers.Exists(h => h.Name == method.Name))
            {
                throw new InvalidOperationException($"{method.FullName} has no handler.");
            }
        }

        return new ServiceDefinition(descriptor, [.. _handlers]);
    }

    // A binding that does not fit the contract is a defect that shows when the server is put together, not when called.
    private ServiceBuilder Bind<TRequest, TResponse>(
        Method<TRequest, TResponse> method, MethodKind kind, MethodHandler handler)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        MethodDescriptor? found = method.Service == descriptor.FullName ? descriptor.FindMethodByName(method.Name) : null;
        MethodKind? wanted = (found?.IsClientStreaming, found?.IsServerStreaming) switch
        {
            (false, false) => MethodKind.Unary,
            (false, true) => MethodKind.ServerStreaming,
            (true, false) => MethodKind.ClientStreaming,
            (true, true) => MethodKind.Bidirectional,
            _ => null,
        };
        if (wanted != kind || method.Kind != kind
            || found?.InputType.FullName != new TRequest().Descriptor.FullName
            || found.OutputType.FullName != new TResponse().Descriptor.FullName)
        {
            throw new ArgumentException(
                $"{descriptor.FullName} has no method {method.Path} of this kind and these types.", nameof(method));
        }

        if (_handlers.Exists(h => h.Name == method.Name))
        {
            throw new ArgumentException($"{method.Path} is bound already.", nameof(method));
        }

        _handlers.Add(handler);
        return this;
    }
}
