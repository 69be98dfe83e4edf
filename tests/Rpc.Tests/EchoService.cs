using Google.Protobuf;
using Grpc.Core;

namespace XenTwoLevelCkpt.Rpc.Tests;

/// <summary>The tests' service, with handlers that a test may exchange.</summary>
internal sealed class EchoService : Echo.EchoBase
{
    internal UnaryServerMethod<Note, Note> OnOnce { get; set; } = (request, _) => Task.FromResult(request);

    internal ServerStreamingServerMethod<Note, Note> OnRepeat { get; set; } = async (request, responses, _) =>
    {
        for (long i = 0; i < request.Number; i++)
        {
            await responses.WriteAsync(new Note { Text = request.Text, Number = i, Data = request.Data });
        }
    };

    internal DuplexStreamingServerMethod<Note, Note> OnEach { get; set; } = async (requests, responses, _) =>
    {
        await foreach (Note request in requests.ReadAllAsync())
        {
            await responses.WriteAsync(request);
        }
    };

    public override Task<Note> Once(Note request, ServerCallContext context) => OnOnce(request, context);

    public override Task Repeat(Note request, IServerStreamWriter<Note> responseStream, ServerCallContext context) =>
        OnRepeat(request, responseStream, context);

    public override async Task<Note> Sum(IAsyncStreamReader<Note> requestStream, ServerCallContext context)
    {
        var sum = new Note();
        await foreach (Note request in requestStream.ReadAllAsync())
        {
            sum.Number += request.Number;
            sum.Data = ByteString.CopyFrom([.. sum.Data, .. request.Data]);
        }

        return sum;
    }

    public override Task Each(
        IAsyncStreamReader<Note> requestStream, IServerStreamWriter<Note> responseStream, ServerCallContext context) =>
        OnEach(requestStream, responseStream, context);
}
