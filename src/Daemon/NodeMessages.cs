using XenTwoLevelCkpt.Channels;

namespace XenTwoLevelCkpt.Daemon;

/// <summary>What a node's messages begin with.</summary>
/// <param name="Settings">The operator's settings: peers, protocol, addresses.</param>
/// <param name="Checkpoints">Takes checkpoints.</param>
/// <param name="Index">The node's index, that of its last checkpoint; 0 for none.</param>
/// <param name="Incarnation">The node's incarnation.</param>
public sealed record NodeOrigin(NodeSettings Settings, INodeCheckpoints Checkpoints, long Index, int Incarnation);

/// <summary>Makes the messages of a node.</summary>
public static class NodeMessages
{
    /// <summary>Makes the messages that the settings ask for; nothing is connected before
    /// <see cref="INodeMessages.Start"/>.</summary>
    /// <param name="origin">What they begin with.</param>
    /// <exception cref="SettingsException">The settings ask for what is not there.</exception>
    public static INodeMessages Create(NodeOrigin origin)
    {
        ArgumentNullException.ThrowIfNull(origin);
        return origin.Settings.Nodes.Count <= 1
            ? new LoneNode(origin.Checkpoints, origin.Index, origin.Incarnation)
            : throw new SettingsException(
                ["'nodes' has several nodes; this version of the daemon has no messages between nodes: leave the key out."]);
    }
}
