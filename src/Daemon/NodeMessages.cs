using Microsoft.Extensions.Logging;
using XenTwoLevelCkpt.Channels;

namespace XenTwoLevelCkpt.Daemon;

/// <summary>What a node's messages begin with.</summary>
/// <param name="Settings">The operator's settings: peers, protocol, addresses.</param>
/// <param name="Checkpoints">Takes checkpoints.</param>
/// <param name="Index">The node's index, that of its last checkpoint; 0 for none.</param>
/// <param name="Incarnation">The node's incarnation.</param>
/// <param name="Uplink">Where frames of the guests come out and go in; null on a node on its own.</param>
/// <param name="Logger">Learns what happens to links.</param>
/// <param name="Parked">The channels of the process before this one (<see cref="INodeMessages.ParkAsync"/>), where the guests
/// have run on since; null where it was not stopped in good order.</param>
public sealed record NodeOrigin(
    NodeSettings Settings, INodeCheckpoints Checkpoints, long Index, int Incarnation, IUplink? Uplink, ILogger Logger,
    ReadOnlyMemory<byte>? Parked = null)
{
    /// <summary>The nodes of the cluster that are lost.</summary>
    public IReadOnlyList<Departure> Lost { get; init; } = [];
}

/// <summary>Makes the messages of a node.</summary>
public static class NodeMessages
{
    /// <summary>Makes the messages that the settings ask for; nothing is connected before
    /// <see cref="INodeMessages.Start"/>.</summary>
    /// <param name="origin">What they begin with.</param>
    /// <exception cref="SettingsException">The store is of a time before the node was in a cluster.</exception>
    /// <exception cref="InvalidDataException">The channel log is damaged.</exception>
    /// <exception cref="IOException">The channel log or the trace cannot be opened.</exception>
    public static INodeMessages Create(NodeOrigin origin)
    {
        ArgumentNullException.ThrowIfNull(origin);
        NodeSettings settings = origin.Settings;
        if (origin.Uplink is not { } uplink)
        {
            return new LoneNode(origin.Checkpoints, origin.Index, origin.Incarnation);
        }

        NodeMessenger messages = NodeMessenger.Create(
            settings.Protocol,
            new NodeMessengerOptions
            {
                Cluster = settings.Cluster!.Value,
                Node = settings.Node,
                Peers = [.. settings.Nodes.Where(n => n.Name != settings.Node).Select(n => new PeerAddress(n.Name, n.Address, n.Port))],
                LogDirectory = settings.ChannelLog,
                Parked = origin.Parked,
                Lost = origin.Lost,
                TracePath = settings.Trace,
                FloodLimit = settings.FloodLimit,
            },
            uplink, origin.Checkpoints, origin.Logger);
        return messages.AwaitsRecovery || messages.Index >= origin.Index
            ? messages
            : throw new SettingsException(
                [$"'store' is \"{settings.Store}\"; its checkpoints are of a time before the node was in a cluster, and no line has them: name an empty directory."]);
    }
}
