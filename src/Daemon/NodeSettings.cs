using System.Net;
using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Checkpointing.Node.Selection;
using XenTwoLevelCkpt.Checkpointing.Settings;
using XenTwoLevelCkpt.Daemon.Page;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Chains;

namespace XenTwoLevelCkpt.Daemon;

/// <summary>A node of the cluster, as the configuration names it.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Address">Where its daemon listens for other nodes: a host name or an IP address.</param>
/// <param name="Port">The TCP port, 1 to 65535.</param>
public sealed record ClusterNode(string Name, string Address, int Port);

/// <summary>Which hypervisor the daemon works on.</summary>
public enum HypervisorKind
{
    /// <summary>The Xen of this host.</summary>
    Xen,

    /// <summary>A model inside the daemon's process, for trials and tests.</summary>
    Model,
}

/// <summary>What the guests of a model hypervisor do.</summary>
public enum ModelWorkload
{
    /// <summary>They rewrite memory and disk, so that both can be checked to be of one step.</summary>
    Stepper,

    /// <summary>They send each other money, whose sum never changes.</summary>
    Bank,
}

/// <summary>The guests of a model hypervisor.</summary>
public sealed record ModelSettings
{
    /// <summary>How many, 0 to 64.</summary>
    public int Guests { get; init; } = 2;

    /// <summary>What they do.</summary>
    public ModelWorkload Workload { get; init; } = ModelWorkload.Stepper;

    /// <summary>Pages of 4 KiB of each.</summary>
    public long MemoryPages { get; init; } = 4096;

    /// <summary>The pace of each; 0 for guests that stand still.</summary>
    public int StepsPerSecond { get; init; } = 100;

    /// <summary>The share of requests to suspend that guests ignore, 0 to 1: so that checkpoints fail in trials.</summary>
    public double FailSuspends { get; init; }

    /// <summary>True where frames between nodes are those of the bridge, as on Xen. The model's guests have no card in it: they
    /// send to each other on their own node alone.</summary>
    public bool Tap { get; init; }
}

/// <summary>What differs for one domain.</summary>
/// <param name="Name">Its name or UUID.</param>
/// <param name="Policy">What differs.</param>
public sealed record DomainEntry(string Name, DomainPolicy Policy);

/// <summary>What an operator sets of a daemon; docs/operations.md has the table.</summary>
public sealed record NodeSettings
{
    /// <summary>The longest name of a node, in octets.</summary>
    public const int MaxNameLength = 63;

    /// <summary>The node's name.</summary>
    public string Node { get; init; } = Environment.MachineName;

    /// <summary>The cluster's UUID; null for a node on its own.</summary>
    public Guid? Cluster { get; init; }

    /// <summary>All nodes of the cluster, this one included, each name once; empty for a node on its own.</summary>
    public IReadOnlyList<ClusterNode> Nodes { get; init; } = [];

    /// <summary>The store's directory.</summary>
    public string Store { get; init; } = HostPaths.Store;

    /// <summary>The directory for this host's own state, on a local disk.</summary>
    public string State { get; init; } = HostPaths.State;

    /// <summary>A directory on storage that all nodes share, which has each node's store as a folder of its name; null
    /// for none.</summary>
    public string? Shared { get; init; }

    /// <summary>The socket for operators.</summary>
    public string ControlSocket { get; init; } = HostPaths.ControlSocket;

    /// <summary>The group whose members may give orders on the control socket, by its name or number; null for the daemon's own
    /// user alone.</summary>
    public string? SocketGroup { get; init; }

    /// <summary>Where other nodes' daemons connect to; null for nowhere.</summary>
    public IPEndPoint? Listen { get; init; }

    /// <summary>Where operators of the cluster connect to by TCP, beside the socket; null for nowhere.</summary>
    public IPEndPoint? ControlListen { get; init; }

    /// <summary>Where the daemon serves its page; null for nowhere.</summary>
    public IPEndPoint? PageListen { get; init; }

    /// <summary>Limits of the page; tests set others.</summary>
    internal PageLimits PageLimits { get; init; } = new();

    /// <summary>The bridge of the guests, which the frames of other nodes come in by.</summary>
    public string Bridge { get; init; } = "xenbr0";

    /// <summary>The name of the tap that the daemon makes in it.</summary>
    public string Tap { get; init; } = "xtl0";

    /// <summary>A file that receives the trace of the run (docs/trace-format.md); null for none.</summary>
    public string? Trace { get; init; }

    /// <summary>The directory of the channel log: beside the store, so that it outlives the node as checkpoints do.</summary>
    public string ChannelLog => ChannelLogOf(Store);

    /// <summary>The mean time from one basic checkpoint to the next; null for none.</summary>
    public TimeSpan? BasicInterval { get; init; }

    /// <summary>How much the time between basic checkpoints varies, as a share of the mean, 0 to 1: so that the nodes of a
    /// cluster do not all write at once.</summary>
    public double BasicJitter { get; init; } = 0.2;

    /// <summary>The checkpoint protocol between nodes, by its name in the protocol library.</summary>
    public string Protocol { get; init; } = "bcs";

    /// <summary>Frames a second to all nodes that may leave for each address of a guest; null for no limit. A guest that asks for
    /// addresses or announces itself sends some tens; 5,000 frames of 1,500 octets are
    /// 7.5 MB/s to each other node.</summary>
    public int? FloodLimit { get; init; } = 5_000;

    /// <summary>How long a guest has to suspend itself.</summary>
    public TimeSpan SuspendTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long suspended guests wait for one that is not.</summary>
    public TimeSpan WaitLimit { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>What becomes of a checkpoint that a domain cannot be part of. A domain that exchanges frames with other nodes
    /// fails it in any case: outside of its node's checkpoints it would leave no recovery line consistent.</summary>
    public UnableRule WhenUnable { get; init; } = UnableRule.Skip;

    /// <summary>What differs for domains, each by its name or UUID.</summary>
    public IReadOnlyList<DomainEntry> Domains { get; init; } = [];

    /// <summary>How long copying may stop the guests.</summary>
    public TimeSpan AllowedPause { get; init; } = TimeSpan.FromMilliseconds(50);

    /// <summary>Entries of a domain's dirty-page cache; null to let them follow from <see cref="AllowedPause"/>.</summary>
    public int? CacheEntries { get; init; }

    /// <summary>Bytes set aside for pages that are copied while guests are suspended.</summary>
    public long Staging { get; init; } = 64 << 20;

    /// <summary>Bytes a second that are written while guests run; null for no limit.</summary>
    public long? Bandwidth { get; init; }

    /// <summary>The share of the time in which memory is saved while guests run, 0.01 to 1; 1 for no limit.</summary>
    public double BackgroundShare { get; init; } = 0.25;

    /// <summary>Which checkpoints are kept; null for all.</summary>
    public RetentionPolicy? Retention { get; init; } = new();

    /// <summary>Leaves out disks that cannot be checkpointed.</summary>
    public bool MemoryOnly { get; init; }

    /// <summary>Which hypervisor.</summary>
    public HypervisorKind Hypervisor { get; init; }

    /// <summary>The model's guests.</summary>
    public ModelSettings Model { get; init; } = new();

    /// <summary>The directory of the channel log of the node with a store.</summary>
    internal static string ChannelLogOf(string store) => store + ".channels";

    /// <summary>The settings of the node's checkpoints.</summary>
    /// <param name="policies">What differs for a domain.</param>
    /// <param name="reachesPeers">Whether a domain exchanges frames with other nodes.</param>
    internal NodeOptions ForCheckpoints(
        Func<Guid, string?, DomainPolicy?> policies, Func<DomainConfiguration, bool> reachesPeers) => new()
        {
            Policies = policies,
            WhenUnable = WhenUnable,
            ReachesPeers = Nodes.Count > 1 ? reachesPeers : null,
            WaitLimit = WaitLimit,
            Node = Node,
            StateDirectory = State,
            SuspendTimeout = SuspendTimeout,
            AllowedPause = AllowedPause,
            CacheEntries = CacheEntries,
            StagingPages = (int)(Staging >> 12),
            BackgroundBandwidth = Bandwidth,
            BackgroundShare = BackgroundShare,
            MemoryOnly = MemoryOnly,
        };
}
