using System.Globalization;
using System.Net;
using System.Text.Json;
using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Checkpointing.Node.Selection;
using XenTwoLevelCkpt.Images.Chains;
using static XenTwoLevelCkpt.Daemon.SettingsKey;

namespace XenTwoLevelCkpt.Daemon;

/// <summary>The keys of the daemon's configuration; docs/operations.md has the table.</summary>
internal static class SettingsKeys
{
    internal const string NameRule = "1 to 63 of a-z A-Z 0-9 . _ -, not beginning with a dot or a hyphen";

    private const int MaxNodes = 256;

    // Some hundred guests run on a host; more entries are a mistake.
    private const int MaxDomains = 4096;

    // Those whose messages carry one index, as the messages between daemons do.
    private static readonly string[] Protocols = [.. NodeMessenger.Protocols];

    private static readonly SettingsTable<ModelSettings> Model = new(
        [
            Whole<ModelSettings>("guests", 0, 64, (m, v) => m with { Guests = v }),
            OneOf<ModelSettings>("workload", ["stepper", "bank"], (m, v) =>
                m with { Workload = v == "bank" ? ModelWorkload.Bank : ModelWorkload.Stepper }),
            Size<ModelSettings>("memory", 4 << 20, 1L << 32, (m, v) => m with { MemoryPages = v >> 12 }),
            Whole<ModelSettings>("stepsPerSecond", 0, 1_000_000, (m, v) => m with { StepsPerSecond = v }),
            Share<ModelSettings>("failSuspends", (m, v) => m with { FailSuspends = v }),
            Flag<ModelSettings>("tap", (m, v) => m with { Tap = v }),
        ],
        $"It has {ModelKeys}.");

    private const string ModelKeys = "'guests', 'workload', 'memory', 'stepsPerSecond', 'failSuspends' and 'tap'";

    private static readonly SettingsTable<ClusterNode> Peer = new(
        [
            Text<ClusterNode>("name", NameRule, IsName, (n, v) => n with { Name = v }),
            Text<ClusterNode>("address", "a host name or address, a colon and a port from 1 to 65535, such as \"10.0.0.1:7400\"", IsAddress, (n, v) =>
                n with { Address = v[..v.LastIndexOf(':')].Trim('[', ']'), Port = PortOf(v) }),
        ],
        "It has 'name' and 'address'.");

    private static readonly SettingsTable<DomainEntry> Domain = new(
        [
            Text<DomainEntry>("name", "the name or UUID of a domain", t => t.Length > 0, (d, v) => d with { Name = v }),
            Flag<DomainEntry>("include", (d, v) => d with { Policy = d.Policy with { Include = v } }),
            Flag<DomainEntry>("memoryOnly", (d, v) => d with { Policy = d.Policy with { MemoryOnly = v } }),
            Duration<DomainEntry>("suspendTimeout", Seconds(0.001), TimeSpan.FromHours(1), (d, v) =>
                d with { Policy = d.Policy with { SuspendTimeout = v } }),
            OneOf<DomainEntry>("whenUnable", ["fail", "skip"], (d, v) => d with { Policy = d.Policy with { WhenUnable = Rule(v) } }),
        ],
        "It has 'name', 'include', 'memoryOnly', 'suspendTimeout' and 'whenUnable'.");

    /// <summary>All keys.</summary>
    internal static SettingsTable<NodeSettings> Node { get; } = new(
        [
            Text<NodeSettings>("node", "a string", _ => true, (s, v) => s with { Node = v }),
            Text<NodeSettings>("clusterId", "a UUID of 32 hexadecimal digits with hyphens", t => Guid.TryParseExact(t, "D", out _), (s, v) =>
                s with { Cluster = Guid.Parse(v) }).OrNull(s => s with { Cluster = null }),
            new("nodes", "an array of at most 256 objects {\"name\": NAME, \"address\": \"HOST:PORT\"}", Nodes),
            AbsolutePath<NodeSettings>("store", (s, v) => s with { Store = v }),
            AbsolutePath<NodeSettings>("state", (s, v) => s with { State = v }),
            AbsolutePath<NodeSettings>("shared", (s, v) => s with { Shared = v }).OrNull(s => s with { Shared = null }),
            AbsolutePath<NodeSettings>("controlSocket", (s, v) => s with { ControlSocket = v }),
            Text<NodeSettings>("socketGroup", "the name or number of a group", t => t.Length > 0, (s, v) => s with { SocketGroup = v })
                .OrNull(s => s with { SocketGroup = null }),
            EndPoint("listen", (s, v) => s with { Listen = v }),
            EndPoint("controlListen", (s, v) => s with { ControlListen = v }),
            EndPoint("pageListen", (s, v) => s with { PageListen = v }),
            Text<NodeSettings>("bridge", InterfaceRule, IsInterface, (s, v) => s with { Bridge = v }),
            Text<NodeSettings>("tap", InterfaceRule, IsInterface, (s, v) => s with { Tap = v }),
            Whole<NodeSettings>("floodLimit", 1, 10_000_000, (s, v) => s with { FloodLimit = v }).Or("off", s => s with { FloodLimit = null }),
            AbsolutePath<NodeSettings>("trace", (s, v) => s with { Trace = v }).OrNull(s => s with { Trace = null }),
            Duration<NodeSettings>("basicInterval", Seconds(1), Year, (s, v) => s with { BasicInterval = v })
                .Or("off", s => s with { BasicInterval = null }).OrNull(s => s with { BasicInterval = null }),
            Share<NodeSettings>("basicJitter", (s, v) => s with { BasicJitter = v }),
            OneOf<NodeSettings>("protocol", Protocols, (s, v) => s with { Protocol = v }),
            Duration<NodeSettings>("suspendTimeout", Seconds(0.001), TimeSpan.FromHours(1), (s, v) => s with { SuspendTimeout = v }),
            Duration<NodeSettings>("waitLimit", Seconds(0.001), Seconds(60), (s, v) => s with { WaitLimit = v }),
            OneOf<NodeSettings>("whenUnable", ["fail", "skip"], (s, v) => s with { WhenUnable = Rule(v) }),
            new("domains", "an array of at most 4096 objects {\"name\": NAME, ...}", Domains),
            Duration<NodeSettings>("allowedPause", Seconds(0.001), Seconds(60), (s, v) => s with { AllowedPause = v }),
            Whole<NodeSettings>("cacheEntries", 0, 1 << 28, (s, v) => s with { CacheEntries = v }).OrNull(s => s with { CacheEntries = null }),
            Size<NodeSettings>("staging", 1 << 20, 1L << 40, (s, v) => s with { Staging = v }),
            Size<NodeSettings>("bandwidth", 1 << 16, 1L << 50, (s, v) => s with { Bandwidth = v }).OrNull(s => s with { Bandwidth = null }),
            Share<NodeSettings>("backgroundShare", (s, v) => s with { BackgroundShare = v }, least: 0.01),
            Duration<NodeSettings>("keepFor", Seconds(1), Year, (s, v) => Kept(s, r => r with { KeepFor = v }))
                .OrNull(s => Kept(s, r => r with { KeepFor = null })),
            Whole<NodeSettings>("maxIncrements", 0, 1000, (s, v) => Kept(s, r => r with { MaxIncrements = v })),

            // After the other keys of retention: where all are kept, none of them removes one.
            Whole<NodeSettings>("keep", 1, 1_000_000, (s, v) => Kept(s, r => r with { KeepCount = v }))
                .Or("all", s => s with { Retention = null }),
            Flag<NodeSettings>("memoryOnly", (s, v) => s with { MemoryOnly = v }),
            OneOf<NodeSettings>("hypervisor", ["xen", "model"], (s, v) =>
                s with { Hypervisor = v == "model" ? HypervisorKind.Model : HypervisorKind.Xen }),
            new("model", $"an object with {ModelKeys}", (s, v) => v.Json.ValueKind == JsonValueKind.Object
                ? s with { Model = Model.Read(v.Section, v.Json, s.Model, v.Problems) }
                : null),
        ],
        "docs/operations.md has the table of keys.");

    /// <summary>Whether a text is a node's name.</summary>
    internal static bool IsName(string text) =>
        text.Length is > 0 and <= NodeSettings.MaxNameLength && text[0] is not ('.' or '-') && text.All(IsNameCharacter);

    // linux/if.h, IFNAMSIZ.
    private const string InterfaceRule = "the name of an interface, 1 to 15 of a-z A-Z 0-9 . _ -";

    private static TimeSpan Year => TimeSpan.FromDays(365);

    private static TimeSpan Seconds(double seconds) => TimeSpan.FromSeconds(seconds);

    private static bool IsInterface(string text) => text.Length is > 0 and <= 15 && text.All(IsNameCharacter);

    private static bool IsNameCharacter(char c) => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-';

    private static bool IsAddress(string text) => text.LastIndexOf(':') > 0 && PortOf(text) > 0;

    // 0 for none.
    private static int PortOf(string text) => ushort.TryParse(
        text.AsSpan(text.LastIndexOf(':') + 1), NumberStyles.None, CultureInfo.InvariantCulture, out ushort port) ? port : 0;

    private static UnableRule Rule(string word) => word == "fail" ? UnableRule.Fail : UnableRule.Skip;

    private static NodeSettings Kept(NodeSettings s, Func<RetentionPolicy, RetentionPolicy> with) =>
        s with { Retention = with(s.Retention ?? new()) };

    private static SettingsKey<NodeSettings> EndPoint(string name, Func<NodeSettings, IPEndPoint?, NodeSettings> put) =>
        Text<NodeSettings>(
            name, "an IP address, a colon and a port from 1 to 65535, such as \"10.0.0.1:7400\" or \"[fd00::1]:7400\"",
            t => IPEndPoint.TryParse(t, out IPEndPoint? found) && found.Port != 0, (s, v) => put(s, IPEndPoint.Parse(v)))
        .OrNull(s => put(s, null));

    private static NodeSettings? Domains(NodeSettings s, SettingsValue v)
    {
        if (v.Json.ValueKind != JsonValueKind.Array || v.Json.GetArrayLength() > MaxDomains)
        {
            return null;
        }

        var domains = new List<DomainEntry>();
        for (int i = 0; i < v.Json.GetArrayLength(); i++)
        {
            JsonElement element = v.Json[i];
            if (element.ValueKind != JsonValueKind.Object || !element.TryGetProperty("name", out _))
            {
                v.Problems.Add($"'domains[{i}]' is {element.GetRawText()}; allowed is an object {{\"name\": NAME, ...}}.");
                continue;
            }

            DomainEntry entry = Domain.Read(
                v.Section.GetSection($"{i}"), element, new DomainEntry("", new DomainPolicy()), v.Problems);
            if (domains.Exists(d => d.Name == entry.Name))
            {
                v.Problems.Add($"'domains[{i}]' is the second one for {entry.Name}; allowed is one a domain.");
            }

            domains.Add(entry);
        }

        return s with { Domains = domains };
    }

    private static NodeSettings? Nodes(NodeSettings s, SettingsValue v)
    {
        if (v.Json.ValueKind != JsonValueKind.Array || v.Json.GetArrayLength() > MaxNodes)
        {
            return null;
        }

        var nodes = new List<ClusterNode>();
        int before = v.Problems.Count;
        for (int i = 0; i < v.Json.GetArrayLength(); i++)
        {
            JsonElement element = v.Json[i];
            if (element.ValueKind != JsonValueKind.Object || !element.TryGetProperty("name", out _) || !element.TryGetProperty("address", out _))
            {
                v.Problems.Add($"'nodes[{i}]' is {element.GetRawText()}; allowed is an object {{\"name\": NAME, \"address\": \"HOST:PORT\"}}.");
                continue;
            }

            nodes.Add(Peer.Read(v.Section.GetSection($"{i}"), element, new ClusterNode("", "", 0), v.Problems));
        }

        return s with { Nodes = v.Problems.Count == before ? nodes : [] };
    }
}
