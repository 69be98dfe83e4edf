using XenTwoLevelCkpt.Checkpointing.Settings;

namespace XenTwoLevelCkpt.Control.Checkpoints;

/// <summary>Where this host keeps checkpoints and its own state.</summary>
/// <param name="Store">The store's directory.</param>
/// <param name="State">The state directory.</param>
internal sealed record Places(string Store, string State)
{
    internal const string DefaultStore = HostPaths.Store;
    internal const string DefaultState = HostPaths.State;
}
