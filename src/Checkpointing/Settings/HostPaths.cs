namespace XenTwoLevelCkpt.Checkpointing.Settings;

/// <summary>Where a host keeps what belongs to this software, unless its operator says otherwise.</summary>
public static class HostPaths
{
    /// <summary>The store of checkpoints.</summary>
    public const string Store = "/var/lib/xtlckpt/store";

    /// <summary>The host's own state: what the node's checkpoints have done to domains, its disks, its index.</summary>
    public const string State = "/var/lib/xtlckpt/state";

    /// <summary>The socket on which the daemon serves its operators.</summary>
    public const string ControlSocket = "/run/xtlckpt/control.sock";

    /// <summary>The daemon's configuration.</summary>
    public const string Configuration = "/etc/xtlckpt/xtlckptd.json";
}
