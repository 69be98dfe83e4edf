using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;
using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Daemon;

namespace XenTwoLevelCkpt.Benchmarks.Channel;

/// <summary>A daemon whose messages are those of <c>xtlckptd</c> without the piggyback.</summary>
internal static class ChannelDaemon
{
    /// <summary>Serves until SIGTERM.</summary>
    /// <param name="config">A configuration of <c>xtlckptd</c> with a model hypervisor.</param>
    internal static async Task RunAsync(string config)
    {
        NodeSettings settings = SettingsFile.Read(config, s => s);
        using var platform = new ModelPlatform(settings.Node, settings.Model, [.. settings.Nodes.Select(n => n.Name)]);
        var end = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, context =>
        {
            context.Cancel = true;
            _ = end.TrySetResult();
        });
        DaemonHost host = await DaemonHost.StartAsync(
            settings, platform, logging => logging.SetMinimumLevel(LogLevel.Information).AddSimpleConsole(),
            MessagesWithoutPiggyback).ConfigureAwait(false);
        await using (host.ConfigureAwait(false))
        {
            await end.Task.ConfigureAwait(false);
        }
    }

    // As NodeMessages.Create, but for the protocol.
    private static NodeMessenger<NoPiggyback> MessagesWithoutPiggyback(NodeOrigin origin)
    {
        NodeSettings settings = origin.Settings;
        return new NodeMessenger<NoPiggyback>(
            new NodeMessengerOptions
            {
                Cluster = settings.Cluster!.Value,
                Node = settings.Node,
                Peers = [.. settings.Nodes.Where(n => n.Name != settings.Node).Select(n => new PeerAddress(n.Name, n.Address, n.Port))],
                LogDirectory = settings.ChannelLog,
            },
            origin.Uplink!, origin.Checkpoints, origin.Logger);
    }
}
