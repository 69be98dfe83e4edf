using System.Net.Sockets;
using XenTwoLevelCkpt.NativeInterop.Files;
using XenTwoLevelCkpt.NativeInterop.Network;
using Xunit;

namespace XenTwoLevelCkpt.NativeInterop.Tests.Network;

public class PeerCredentialsTests
{
    [Fact]
    public void A_peer_is_who_connected()
    {
        string folder = Directory.CreateTempSubdirectory("xtl-peer-").FullName;
        try
        {
            var endPoint = new UnixDomainSocketEndPoint(Path.Combine(folder, "socket"));
            using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            listener.Bind(endPoint);
            listener.Listen();
            using var client = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            client.Connect(endPoint);
            using Socket server = listener.Accept();
            RawStat self = RawFiles.Stat(RawPath.From(folder));
            Assert.Equal(
                new PeerCredentials(Environment.ProcessId, self.Owner, self.Group), PeerCredentials.Of(server));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void Sockets_of_other_kinds_do_not_tell()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        Assert.Throws<ArgumentException>(() => PeerCredentials.Of(socket));
    }
}
