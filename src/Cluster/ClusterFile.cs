using System.Globalization;
using System.Text.Json;

namespace XenTwoLevelCkpt.Cluster;

/// <summary>Where a node's daemon takes orders.</summary>
/// <param name="Name">The node's name.</param>
/// <param name="Socket">The path of its Unix domain socket; null where it is reached by TCP.</param>
/// <param name="Host">A host name or an address; empty for a socket.</param>
/// <param name="Port">The TCP port, 1 to 65535; 0 for a socket.</param>
public sealed record ClusterMember(string Name, string? Socket, string Host, int Port)
{
    /// <summary>Reads an endpoint: an absolute path, or <c>HOST:PORT</c> (an IPv6 address in brackets).</summary>
    /// <param name="name">The node's name.</param>
    /// <param name="endpoint">The endpoint.</param>
    /// <exception cref="FormatException">It is neither.</exception>
    public static ClusterMember Parse(string name, string endpoint)
    {
        ArgumentNullException.ThrowIfNull(endpoint);
        if (endpoint.StartsWith('/'))
        {
            return new ClusterMember(name, endpoint, "", 0);
        }

        int colon = endpoint.LastIndexOf(':');
        return colon > 0
            && int.TryParse(endpoint.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out int port)
            && port is > 0 and < 65536
            && Uri.CheckHostName(endpoint[..colon].Trim('[', ']')) != UriHostNameType.Unknown
                ? new ClusterMember(name, null, endpoint[..colon], port)
                : throw new FormatException(
                    $"node {name}: '{endpoint}' is no endpoint. It is the path of a socket, such as /run/xtlckpt/control.sock, or HOST:PORT.");
    }

    /// <summary>The endpoint, as <see cref="Parse"/> reads it.</summary>
    public override string ToString() => Socket ?? string.Create(CultureInfo.InvariantCulture, $"{Host}:{Port}");
}

/// <summary>The nodes of a cluster as an operator's program knows them: a JSON object
/// <c>{"nodes": {"alpha": "10.0.0.1:7601", "beta": "/run/beta.sock"}}</c>.</summary>
public static class ClusterFile
{
    /// <summary>Where it is unless said otherwise.</summary>
    public const string DefaultPath = "/etc/xtlckpt/cluster.json";

    /// <summary>Reads the file.</summary>
    /// <param name="path">The file.</param>
    /// <returns>The nodes, in the order of their names.</returns>
    /// <exception cref="FormatException">It makes no sense; the message says where.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static IReadOnlyList<ClusterMember> Read(string path)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(path));
            if (document.RootElement.ValueKind != JsonValueKind.Object
                || !document.RootElement.TryGetProperty("nodes", out JsonElement nodes)
                || nodes.ValueKind != JsonValueKind.Object)
            {
                throw new FormatException("it has no object 'nodes', of names and endpoints");
            }

            List<ClusterMember> members = [.. nodes.EnumerateObject().Select(p => ClusterMember.Parse(
                p.Name,
                p.Value.ValueKind == JsonValueKind.String
                    ? p.Value.GetString()!
                    : throw new FormatException($"node {p.Name}: the endpoint is no text")))];
            return Check(members);
        }
        catch (Exception e) when (e is FormatException or JsonException)
        {
            throw new FormatException($"{path}: {e.Message}", e);
        }
    }

    /// <summary>Checks that there are nodes, and each name once.</summary>
    /// <param name="members">The nodes.</param>
    /// <returns>They, in the order of their names.</returns>
    /// <exception cref="FormatException">It is not so.</exception>
    public static IReadOnlyList<ClusterMember> Check(IEnumerable<ClusterMember> members)
    {
        ClusterMember[] sorted = [.. members.OrderBy(m => m.Name, StringComparer.Ordinal)];
        for (int i = 1; i < sorted.Length; i++)
        {
            if (sorted[i].Name == sorted[i - 1].Name)
            {
                throw new FormatException($"node {sorted[i].Name} is named twice");
            }
        }

        return sorted.Length > 0 ? sorted : throw new FormatException("there is no node");
    }
}
