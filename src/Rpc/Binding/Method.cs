using Google.Protobuf;

namespace XenTwoLevelCkpt.Rpc;

/// <summary>How many messages each side of a call sends.</summary>
public enum MethodKind
{
    /// <summary>One request, one response.</summary>
    Unary,

    /// <summary>One request, any number of responses.</summary>
    ServerStreaming,

    /// <summary>Any number of requests, one response.</summary>
    ClientStreaming,

    /// <summary>Any number of both, independent of each other.</summary>
    Bidirectional,
}

/// <summary>A method of a service, as servers and clients both need it.</summary>
/// <typeparam name="TRequest">The requests' type.</typeparam>
/// <typeparam name="TResponse">The responses' type.</typeparam>
public sealed class Method<TRequest, TResponse>
    where TRequest : class, IMessage<TRequest>, new()
    where TResponse : class, IMessage<TResponse>, new()
{
    /// <summary>Describes a method.</summary>
    /// <param name="kind">How many messages each side sends.</param>
    /// <param name="service">The service's full name.</param>
    /// <param name="name">The method's name.</param>
    public Method(MethodKind kind, string service, string name)
    {
        Kind = kind;
        Service = service;
        Name = name;
        Path = $"/{service}/{name}";
    }

    /// <summary>How many messages each side sends.</summary>
    public MethodKind Kind { get; }

    /// <summary>The service's full name.</summary>
    public string Service { get; }

    /// <summary>The method's name.</summary>
    public string Name { get; }

    /// <summary>The path of its HTTP requests.</summary>
    public string Path { get; }
}
