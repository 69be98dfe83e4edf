using Google.Protobuf;

namespace XenTwoLevelCkpt.Rpc.Tests;

/// <summary>The methods of the tests' service.</summary>
internal static class EchoMethods
{
    private const string Service = "xtlckpt.tests.Echo";

    internal static Method<Note, Note> Once { get; } = new(MethodKind.Unary, Service, "Once");

    internal static Method<Note, Note> Repeat { get; } = new(MethodKind.ServerStreaming, Service, "Repeat");

    internal static Method<Note, Note> Sum { get; } = new(MethodKind.ClientStreaming, Service, "Sum");

    internal static Method<Note, Note> Each { get; } = new(MethodKind.Bidirectional, Service, "Each");
}

/// <summary>The service, with handlers that a test may exchange.</summary>
internal sealed class EchoService
{
    internal UnaryHandler<Note, Note> Once { get; set; } = (request, _) => Task.FromResult(request);

    internal ServerStreamingHandler<Note, Note> Repeat { get; set; } = async (request, responses, _) =>
    {
        for (long i = 0; i < request.Number; i++)
        {
            await responses.WriteAsync(new Note { Text = request.Text, Number = i, Data = request.Data });
        }
    };

    internal ClientStreamingHandler<Note, Note> Sum { get; set; } = async (requests, _) =>
    {
        var sum = new Note();
        await foreach (Note request in requests.ReadAllAsync())
        {
            sum.Number += request.Number;
            sum.Data = ByteString.CopyFrom([.. sum.Data, .. request.Data]);
        }

        return sum;
    };

    internal BidirectionalHandler<Note, Note> Each { get; set; } = async (requests, responses, _) =>
    {
        while (await requests.ReadAsync() is { } request)
        {
            await responses.WriteAsync(request);
        }
    };

    internal ServiceDefinition Define() => new ServiceBuilder(EchoReflection.Descriptor.Services[0])
        .Unary(EchoMethods.Once, (request, call) => Once(request, call))
        .ServerStreaming(EchoMethods.Repeat, (request, responses, call) => Repeat(request, responses, call))
        .ClientStreaming(EchoMethods.Sum, (requests, call) => Sum(requests, call))
        .Bidirectional(EchoMethods.Each, (requests, responses, call) => Each(requests, responses, call))
        .Build();
}
