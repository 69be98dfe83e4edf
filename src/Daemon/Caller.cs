using System.Globalization;
using System.Net.Sockets;
using Grpc.Core;
using Microsoft.AspNetCore.Connections.Features;
using XenTwoLevelCkpt.Accounts;
using XenTwoLevelCkpt.NativeInterop.Network;

namespace XenTwoLevelCkpt.Daemon;

/// <summary>Who called, for the log.</summary>
internal static class Caller
{
    /// <summary>A user and a process, where the call came by the Unix domain socket, else an address.</summary>
    /// <param name="context">The call.</param>
    internal static string Of(ServerCallContext context)
    {
        if (context.GetHttpContext().Features.Get<IConnectionSocketFeature>()?.Socket is not { AddressFamily: AddressFamily.Unix } socket)
        {
            return context.Peer;
        }

        try
        {
            var peer = PeerCredentials.Of(socket);
            return string.Create(
                CultureInfo.InvariantCulture, $"{AccountDatabase.UserName(peer.User)} (process {peer.ProcessId})");
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // It has gone meanwhile.
            return "a process that has ended";
        }
    }
}
