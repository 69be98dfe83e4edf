using XenTwoLevelCkpt.Channels;
using Xunit;

namespace XenTwoLevelCkpt.Daemon.Tests;

public class ModelPlatformTests
{
    [Fact]
    public void Guests_of_one_node_send_nothing_to_other_nodes_from_the_first_step_on()
    {
        var settings = new ModelSettings
        {
            Guests = 6,
            Workload = ModelWorkload.Bank,
            MemoryPages = 256,
            StepsPerSecond = 1_000_000,
        };
        for (int round = 0; round < 20; round++)
        {
            using var platform = new ModelPlatform("alpha", settings);
            var uplink = (GuestNetworkUplink)platform.OpenUplink(new NodeSettings());
            Assert.Equal(0, uplink.Leaving);
        }
    }
}
