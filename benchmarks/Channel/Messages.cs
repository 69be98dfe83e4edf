using System.Diagnostics;
using System.Globalization;
using System.Net;
using Google.Protobuf;
using Grpc.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.Server;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Benchmarks.Channel;

/// <summary>Batches from a client to a server and back, one at a time, over loopback and in one process: what a message costs in
/// gRPC alone.</summary>
internal static class Messages
{
    private const int WarmUp = 2000;
    private const int Batches = 5000;

    internal static async Task RunAsync()
    {
        using IHost host = new HostBuilder()
            .ConfigureWebHost(web => web
                .UseRpcKestrel()
                .ConfigureKestrel(kestrel =>
                {
                    kestrel.LimitForRpc();
                    kestrel.ListenRpc(new IPEndPoint(IPAddress.Loopback, 0));
                })
                .Configure(app => app.UseRouting().UseEndpoints(endpoints => endpoints.MapGrpcService<Echo>())))
            .ConfigureServices(services => services.AddRpc().AddSingleton<Echo>())
            .Build();
        await host.StartAsync().ConfigureAwait(false);
        var address = new Uri(host.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First());
        using (var channel = RpcChannel.ForTcp(address.Host, address.Port))
        {
            foreach (int length in (int[])[1500, 64 << 10, 1 << 20])
            {
                using ChannelCall call = NodeChannel.Exchange(channel);
                var message = new ChannelMessage { Batch = new Batch { Sequence = 1, Sn = 1, Frames = ByteString.CopyFrom(new byte[length]) } };
                await ExchangeAsync(call, message, WarmUp).ConfigureAwait(false);
                long allocated = GC.GetTotalAllocatedBytes(precise: true);
                long begin = Stopwatch.GetTimestamp();
                await ExchangeAsync(call, message, Batches).ConfigureAwait(false);
                TimeSpan taken = Stopwatch.GetElapsedTime(begin);
                allocated = GC.GetTotalAllocatedBytes(precise: true) - allocated;
                Console.WriteLine(string.Create(
                    CultureInfo.InvariantCulture,
                    $"batches of {length,7} octets: {(double)allocated / Batches / 2,8:F0} octets allocated a message (sent and received), {taken.TotalMicroseconds / Batches / 2,8:F1} us"));
            }
        }

        await host.StopAsync().ConfigureAwait(false);
    }

    private static async Task ExchangeAsync(ChannelStream call, ChannelMessage message, int count)
    {
        for (int i = 0; i < count; i++)
        {
            await call.WriteAsync(message).ConfigureAwait(false);
            (await call.ReadAsync().ConfigureAwait(false))!.Batch.ReleaseFrames();
        }
    }

    // Made by the host.
#pragma warning disable CA1812
    private sealed class Echo : NodeChannelBase
    {
        public override async Task Exchange(
            IAsyncStreamReader<ChannelMessage> requestStream, IServerStreamWriter<ChannelMessage> responseStream,
            ServerCallContext context)
        {
            var stream = new ChannelStream(requestStream, responseStream, context.CancellationToken);
            while (await stream.ReadAsync().ConfigureAwait(false) is { } message)
            {
                await stream.WriteAsync(message).ConfigureAwait(false);
                message.Batch.ReleaseFrames();
            }
        }
    }
#pragma warning restore CA1812
}
