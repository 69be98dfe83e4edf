using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Google.Rpc;
using Grpc.Core;

namespace XenTwoLevelCkpt.Rpc;

/// <summary>A call ended, or is to end, with another status than <see cref="StatusCode.OK"/>. A handler throws it to say
/// how its call ends; a client gets it as the server sent it. On the wire it is <see cref="RpcException"/>, by
/// <see cref="StatusMapping"/>.</summary>
public sealed class StatusException : Exception
{
    /// <summary>The domain of <see cref="ErrorInfo"/> of this project's services.</summary>
    public const string ErrorDomain = "xtlckpt";

    /// <summary>Creates the exception.</summary>
    /// <param name="code">How the call ended.</param>
    /// <param name="message">A sentence for a person. It reaches the client; at most 2,048 octets of it do.</param>
    /// <param name="details">Facts for programs. They reach the client where they fit in 4,096 octets.</param>
    /// <param name="inner">The cause; it stays here.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="code"/> is <see cref="StatusCode.OK"/> or no code.
    /// </exception>
    public StatusException(
        StatusCode code, string message, IReadOnlyList<Any>? details = null, Exception? inner = null)
        : base(message, inner)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan((int)code, (int)StatusCode.Cancelled, nameof(code));
        ArgumentOutOfRangeException.ThrowIfGreaterThan((int)code, (int)StatusCode.Unauthenticated, nameof(code));
        Code = code;
        Details = details ?? [];
    }

    /// <summary>How the call ended.</summary>
    public StatusCode Code { get; }

    /// <summary>Facts for programs.</summary>
    public IReadOnlyList<Any> Details { get; }

    /// <summary>The reason that the first <see cref="ErrorInfo"/> among the details tells, or null.</summary>
    public string? Reason => Find<ErrorInfo>()?.Reason;

    /// <summary>Makes an exception whose details are one <see cref="ErrorInfo"/> of this project's domain.</summary>
    /// <param name="code">How the call ends.</param>
    /// <param name="reason">The cause for programs, in UPPER_SNAKE_CASE.</param>
    /// <param name="message">A sentence for a person.</param>
    /// <param name="inner">The cause; it stays here.</param>
    public static StatusException Because(StatusCode code, string reason, string message, Exception? inner = null) =>
        new(code, message, [Any.Pack(new ErrorInfo { Reason = reason, Domain = ErrorDomain })], inner);

    /// <summary>Finds the first detail of a type.</summary>
    /// <returns>The detail, or null where there is none that can be read.</returns>
    /// <typeparam name="T">The type.</typeparam>
    public T? Find<T>()
        where T : class, IMessage<T>, new()
    {
        foreach (Any detail in Details)
        {
            try
            {
                if (detail.TryUnpack(out T found))
                {
                    return found;
                }
            }
            catch (InvalidProtocolBufferException)
            {
                // A peer's detail that cannot be read is as good as none.
            }
        }

        return null;
    }
}
