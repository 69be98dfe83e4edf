using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;
using XenTwoLevelCkpt.Checkpointing.Settings;
using XenTwoLevelCkpt.Images.Chains;

namespace XenTwoLevelCkpt.Daemon;

/// <summary>A configuration is wrong.</summary>
public sealed class SettingsException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="problems">One sentence for each wrong value: its key, the value, and what is allowed.</param>
    public SettingsException(IReadOnlyList<string> problems)
        : base(string.Join('\n', problems)) => Problems = problems;

    /// <summary>One sentence for each wrong value.</summary>
    public IReadOnlyList<string> Problems { get; }
}

/// <summary>Reads the daemon's configuration: one JSON object. It is checked as a whole, so that one start tells all that is
/// wrong.</summary>
public sealed class SettingsFile
{
    private const int MaxNodes = 256;

    // Protocols whose messages carry one index, as those between daemons do. Not bcs-aftersend: a recovery finds lines by the
    // labels of checkpoints, and those of that protocol also need the index that a node reached after its checkpoint.
    private static readonly string[] Protocols = ["bcs", "manivannan-singhal", "lazy-bcs"];

    private readonly List<string> _problems = [];

    private SettingsFile()
    {
    }

    /// <summary>Reads and checks a configuration.</summary>
    /// <param name="path">The file; null for the defaults alone.</param>
    /// <param name="adjust">Puts in what the command line says; may be null.</param>
    /// <exception cref="SettingsException">It is wrong.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static NodeSettings Read(string? path, Func<NodeSettings, NodeSettings>? adjust = null) =>
        Parse(path is null ? "{}"u8.ToArray() : File.ReadAllBytes(path), adjust);

    /// <summary>Checks a configuration.</summary>
    /// <param name="json">The file's octets.</param>
    /// <param name="adjust">Puts in what the command line says; may be null.</param>
    /// <exception cref="SettingsException">It is wrong.</exception>
    public static NodeSettings Parse(ReadOnlyMemory<byte> json, Func<NodeSettings, NodeSettings>? adjust = null)
    {
        var file = new SettingsFile();
        NodeSettings settings = file.ParseObject(json);
        settings = adjust?.Invoke(settings) ?? settings;
        settings = file.CheckTogether(settings);
        return file._problems.Count == 0 ? settings : throw new SettingsException(file._problems);
    }

    private NodeSettings ParseObject(ReadOnlyMemory<byte> json)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(
                json, new JsonDocumentOptions { AllowTrailingCommas = true, CommentHandling = JsonCommentHandling.Skip });
            if (document.RootElement.ValueKind != JsonValueKind.Object)
            {
                _problems.Add("The file is no JSON object: it begins with { and names keys.");
                return new NodeSettings();
            }

            var settings = new NodeSettings();
            bool storeSaid = false;
            foreach (JsonProperty p in document.RootElement.EnumerateObject())
            {
                settings = Apply(settings, p);
                storeSaid |= p.NameEquals("store");
            }

            return settings.Shared is { } shared && !storeSaid
                ? settings with { Store = Path.Combine(shared, settings.Node) }
                : settings;
        }
        catch (JsonException e)
        {
            _problems.Add($"The file is no JSON: {e.Message}");
            return new NodeSettings();
        }
    }

    private NodeSettings Apply(NodeSettings s, JsonProperty p)
    {
        switch (p.Name)
        {
            case "node": return s with { Node = Text(p, s.Node) };
            case "clusterId": return s with { Cluster = Cluster(p) };
            case "nodes": return s with { Nodes = Nodes(p) };
            case "store": return s with { Store = AbsolutePath(p, s.Store) };
            case "state": return s with { State = AbsolutePath(p, s.State) };
            case "shared": return s with { Shared = IsNull(p) ? null : AbsolutePath(p, "/") };
            case "controlSocket": return s with { ControlSocket = AbsolutePath(p, s.ControlSocket) };
            case "listen": return s with { Listen = EndPoint(p) };
            case "controlListen": return s with { ControlListen = EndPoint(p) };
            case "pageListen": return s with { PageListen = EndPoint(p) };
            case "bridge": return s with { Bridge = Interface(p, s.Bridge) };
            case "tap": return s with { Tap = Interface(p, s.Tap) };
            case "trace": return s with { Trace = IsNull(p) ? null : AbsolutePath(p, "/") };
            case "basicInterval": return s with { BasicInterval = IsOff(p) ? null : Duration(p, Seconds(1), TimeSpan.FromDays(365), "off") };
            case "basicJitter": return s with { BasicJitter = Number(p, 0, 1, s.BasicJitter) };
            case "protocol": return s with { Protocol = OneOf(p, Protocols, s.Protocol) };
            case "suspendTimeout": return s with { SuspendTimeout = Duration(p, Seconds(0.001), TimeSpan.FromHours(1)) };
            case "allowedPause": return s with { AllowedPause = Duration(p, Seconds(0.001), TimeSpan.FromMinutes(1)) };
            case "cacheEntries": return s with { CacheEntries = IsNull(p) ? null : (int)Whole(p, 0, 1 << 28, 0) };
            case "staging": return s with { Staging = Size(p, 1 << 20, 1L << 40) };
            case "bandwidth": return s with { Bandwidth = IsNull(p) ? null : Size(p, 1 << 16, 1L << 50) };
            case "keep": return s with { Retention = Keep(p, s.Retention) };
            case "keepFor": return s with { Retention = (s.Retention ?? new()) with { KeepFor = IsNull(p) ? null : Duration(p, Seconds(1), TimeSpan.FromDays(365)) } };
            case "maxIncrements": return s with { Retention = (s.Retention ?? new()) with { MaxIncrements = (int)Whole(p, 0, 1000, 8) } };
            case "memoryOnly": return s with { MemoryOnly = Flag(p) };
            case "hypervisor": return s with { Hypervisor = OneOf(p, ["xen", "model"], "xen") == "model" ? HypervisorKind.Model : HypervisorKind.Xen };
            case "model": return s with { Model = Model(p) };
            default:
                _problems.Add($"'{p.Name}' is no key of the configuration; docs/operations.md has the table of keys.");
                return s;
        }
    }

    private const string ModelKeys = "'guests', 'workload', 'memory', 'stepsPerSecond', 'failSuspends' and 'tap'";

    private ModelSettings Model(JsonProperty p)
    {
        var model = new ModelSettings();
        if (p.Value.ValueKind != JsonValueKind.Object)
        {
            Wrong(p.Name, p.Value, $"an object with {ModelKeys}");
            return model;
        }

        foreach (JsonProperty m in p.Value.EnumerateObject())
        {
            switch (m.Name)
            {
                case "guests": model = model with { Guests = (int)Whole(m, 0, 64, 2, "model.") }; break;
                case "workload":
                    model = model with { Workload = OneOf(m, ["stepper", "bank"], "stepper", "model.") == "bank" ? ModelWorkload.Bank : ModelWorkload.Stepper };
                    break;
                case "memory": model = model with { MemoryPages = Size(m, 4 << 20, 1L << 32, "model.") >> 12 }; break;
                case "stepsPerSecond": model = model with { StepsPerSecond = (int)Whole(m, 0, 1_000_000, 0, "model.") }; break;
                case "failSuspends": model = model with { FailSuspends = Number(m, 0, 1, 0, "model.") }; break;
                case "tap": model = model with { Tap = Flag(m, "model.") }; break;
                default: _problems.Add($"'model.{m.Name}' is no key of the configuration; it has {ModelKeys}."); break;
            }
        }

        return model;
    }

    private RetentionPolicy? Keep(JsonProperty p, RetentionPolicy? policy)
    {
        if (p.Value.ValueKind == JsonValueKind.String && p.Value.ValueEquals("all"))
        {
            return null;
        }

        return (policy ?? new()) with { KeepCount = (int)Whole(p, 1, 1_000_000, 16, also: "\"all\"") };
    }

    private List<ClusterNode> Nodes(JsonProperty p)
    {
        const string Allowed = "an array of at most 256 objects {\"name\": NAME, \"address\": \"HOST:PORT\"}";
        var nodes = new List<ClusterNode>();
        if (p.Value.ValueKind != JsonValueKind.Array || p.Value.GetArrayLength() > MaxNodes)
        {
            Wrong(p.Name, p.Value, Allowed);
            return nodes;
        }

        int i = 0;
        foreach (JsonElement element in p.Value.EnumerateArray())
        {
            string key = string.Create(CultureInfo.InvariantCulture, $"{p.Name}[{i++}]");
            if (element.ValueKind != JsonValueKind.Object
                || !element.TryGetProperty("name", out JsonElement name) || name.ValueKind != JsonValueKind.String
                || !element.TryGetProperty("address", out JsonElement address) || address.ValueKind != JsonValueKind.String
                || element.EnumerateObject().Count() != 2)
            {
                Wrong(key, element, "an object {\"name\": NAME, \"address\": \"HOST:PORT\"}");
                continue;
            }

            string text = address.GetString()!;
            int colon = text.LastIndexOf(':');
            if (!IsName(name.GetString()!))
            {
                Wrong($"{key}.name", name, NameRule);
            }
            else if (colon <= 0 || !ushort.TryParse(text.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out ushort port) || port == 0)
            {
                Wrong($"{key}.address", address, "a host name or address, a colon and a port from 1 to 65535, such as \"10.0.0.1:7400\"");
            }
            else
            {
                nodes.Add(new ClusterNode(name.GetString()!, text[..colon].Trim('[', ']'), port));
            }
        }

        return nodes;
    }

    // What is right by itself may still be wrong beside the rest.
    private NodeSettings CheckTogether(NodeSettings s)
    {
        if (!IsName(s.Node))
        {
            _problems.Add($"'node' is \"{s.Node}\"; allowed is {NameRule}.");
        }

        // sun_path has 108 octets, the last of which is zero (unix(7)).
        if (Encoding.UTF8.GetByteCount(s.ControlSocket) > 107)
        {
            _problems.Add($"'controlSocket' is \"{s.ControlSocket}\"; allowed are at most 107 octets.");
        }

        if (s.Shared is { } shared && Path.GetFullPath(s.Store) != Path.GetFullPath(Path.Combine(shared, s.Node)))
        {
            _problems.Add(
                $"'store' is \"{s.Store}\"; with 'shared' it is \"{Path.Combine(shared, s.Node)}\", or left out.");
        }

        if (s.Nodes.Count > 0)
        {
            if (!s.Nodes.Any(n => n.Name == s.Node))
            {
                _problems.Add($"'nodes' does not have this node, \"{s.Node}\"; allowed is a list of all nodes of the cluster, this one included.");
            }

            if (s.Nodes.GroupBy(n => n.Name, StringComparer.Ordinal).FirstOrDefault(g => g.Count() > 1) is { } twice)
            {
                _problems.Add($"'nodes' has \"{twice.Key}\" twice; allowed is each node once.");
            }

            if (s.Nodes.Count > 1 && s.Cluster is null)
            {
                _problems.Add("'clusterId' is missing; with several 'nodes' it is a UUID that they share ('uuidgen' makes one).");
            }

            if (s.Nodes.Count > 1 && s.Listen is null)
            {
                _problems.Add("'listen' is missing; with several 'nodes' it is the address and port that the others connect to.");
            }
        }

        if (s.Listen is { } listen && s.ControlListen?.Port == listen.Port)
        {
            _problems.Add($"'controlListen' is \"{s.ControlListen}\"; allowed is another port than that of 'listen'.");
        }

        if (s.PageListen is { } page && (s.Listen?.Port == page.Port || s.ControlListen?.Port == page.Port))
        {
            _problems.Add($"'pageListen' is \"{page}\"; allowed is another port than those of 'listen' and 'controlListen'.");
        }

        return s;
    }

    private const string NameRule = "1 to 63 of a-z A-Z 0-9 . _ -, not beginning with a dot or a hyphen";

    private static bool IsName(string text) =>
        text.Length is > 0 and <= NodeSettings.MaxNameLength && text[0] is not ('.' or '-')
        && text.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-');

    private static TimeSpan Seconds(double seconds) => TimeSpan.FromSeconds(seconds);

    private static bool IsNull(JsonProperty p) => p.Value.ValueKind == JsonValueKind.Null;

    private static bool IsOff(JsonProperty p) =>
        IsNull(p) || (p.Value.ValueKind == JsonValueKind.String && p.Value.ValueEquals("off"));

    private void Wrong(string key, JsonElement value, string allowed) =>
        _problems.Add($"'{key}' is {value.GetRawText()}; allowed is {allowed}.");

    private string Text(JsonProperty p, string otherwise)
    {
        if (p.Value.ValueKind == JsonValueKind.String)
        {
            return p.Value.GetString()!;
        }

        Wrong(p.Name, p.Value, "a string");
        return otherwise;
    }

    private string AbsolutePath(JsonProperty p, string otherwise)
    {
        if (p.Value.ValueKind == JsonValueKind.String && Path.IsPathFullyQualified(p.Value.GetString()!))
        {
            return p.Value.GetString()!;
        }

        Wrong(p.Name, p.Value, "an absolute path");
        return otherwise;
    }

    // linux/if.h, IFNAMSIZ.
    private string Interface(JsonProperty p, string otherwise)
    {
        if (p.Value.ValueKind == JsonValueKind.String && p.Value.GetString() is { Length: > 0 and <= 15 } name
            && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-'))
        {
            return name;
        }

        Wrong(p.Name, p.Value, "the name of an interface, 1 to 15 of a-z A-Z 0-9 . _ -");
        return otherwise;
    }

    private Guid? Cluster(JsonProperty p)
    {
        if (IsNull(p))
        {
            return null;
        }

        if (p.Value.ValueKind == JsonValueKind.String && Guid.TryParseExact(p.Value.GetString(), "D", out Guid id))
        {
            return id;
        }

        Wrong(p.Name, p.Value, "a UUID of 32 hexadecimal digits with hyphens");
        return null;
    }

    private IPEndPoint? EndPoint(JsonProperty p)
    {
        if (IsNull(p))
        {
            return null;
        }

        if (p.Value.ValueKind == JsonValueKind.String && IPEndPoint.TryParse(p.Value.GetString()!, out IPEndPoint? found)
            && found.Port != 0)
        {
            return found;
        }

        Wrong(p.Name, p.Value, "an IP address, a colon and a port from 1 to 65535, such as \"10.0.0.1:7400\" or \"[fd00::1]:7400\"");
        return null;
    }

    private TimeSpan Duration(JsonProperty p, TimeSpan least, TimeSpan most, string? also = null)
    {
        if (p.Value.ValueKind == JsonValueKind.String && Durations.TryParse(p.Value.GetString()!, out TimeSpan value)
            && value >= least && value <= most)
        {
            return value;
        }

        Wrong(p.Name, p.Value, $"a duration from {Name(least)} to {Name(most)}, a number with ms, s, m or h such as \"10s\""
            + (also is null ? "" : $", or \"{also}\""));
        return least;
    }

    private static string Name(TimeSpan t) => t switch
    {
        { TotalHours: >= 1 } => string.Create(CultureInfo.InvariantCulture, $"{t.TotalHours}h"),
        { TotalSeconds: >= 1 } => string.Create(CultureInfo.InvariantCulture, $"{t.TotalSeconds}s"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{t.TotalMilliseconds}ms"),
    };

    private long Size(JsonProperty p, long least, long most, string prefix = "")
    {
        if (p.Value.ValueKind == JsonValueKind.String && Sizes.TryParse(p.Value.GetString()!, out long bytes)
            && bytes >= least && bytes <= most)
        {
            return bytes;
        }

        Wrong(prefix + p.Name, p.Value, $"a size from {Sizes.Text(least)} to {Sizes.Text(most)}, a whole number with K, M, G or T such as \"64M\"");
        return least;
    }

    private long Whole(JsonProperty p, long least, long most, long otherwise, string prefix = "", string? also = null)
    {
        if (p.Value.ValueKind == JsonValueKind.Number && p.Value.TryGetInt64(out long value) && value >= least && value <= most)
        {
            return value;
        }

        Wrong(prefix + p.Name, p.Value, string.Create(CultureInfo.InvariantCulture, $"a whole number from {least} to {most}")
            + (also is null ? "" : $", or {also}"));
        return otherwise;
    }

    private double Number(JsonProperty p, double least, double most, double otherwise, string prefix = "")
    {
        if (p.Value.ValueKind == JsonValueKind.Number && p.Value.TryGetDouble(out double value) && value >= least && value <= most)
        {
            return value;
        }

        Wrong(prefix + p.Name, p.Value, string.Create(CultureInfo.InvariantCulture, $"a number from {least} to {most}"));
        return otherwise;
    }

    private bool Flag(JsonProperty p, string prefix = "")
    {
        if (p.Value.ValueKind is JsonValueKind.True or JsonValueKind.False)
        {
            return p.Value.GetBoolean();
        }

        Wrong(prefix + p.Name, p.Value, "true or false");
        return false;
    }

    private string OneOf(JsonProperty p, string[] allowed, string otherwise, string prefix = "")
    {
        if (p.Value.ValueKind == JsonValueKind.String && allowed.Contains(p.Value.GetString(), StringComparer.Ordinal))
        {
            return p.Value.GetString()!;
        }

        Wrong(prefix + p.Name, p.Value, string.Join(", ", allowed.Select(a => $"\"{a}\"")));
        return otherwise;
    }
}
