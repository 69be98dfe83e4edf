using System.Text;
using Microsoft.Extensions.Options;
using XenTwoLevelCkpt.Accounts;

namespace XenTwoLevelCkpt.Daemon;

/// <summary>Checks settings beside each other: what is right by itself may still be wrong there.</summary>
internal sealed class SettingsValidator : IValidateOptions<NodeSettings>
{
    /// <inheritdoc/>
    public ValidateOptionsResult Validate(string? name, NodeSettings options)
    {
        string[] problems = [.. Problems(options)];
        return problems.Length == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(problems);
    }

    private static IEnumerable<string> Problems(NodeSettings s)
    {
        if (!SettingsKeys.IsName(s.Node))
        {
            yield return $"'node' is \"{s.Node}\"; allowed is {SettingsKeys.NameRule}.";
        }

        // sun_path has 108 octets, the last of which is zero (unix(7)).
        if (Encoding.UTF8.GetByteCount(s.ControlSocket) > 107)
        {
            yield return $"'controlSocket' is \"{s.ControlSocket}\"; allowed are at most 107 octets.";
        }

        if (s.SocketGroup is { } group && AccountDatabase.FindGroup(group) is null)
        {
            yield return $"'socketGroup' is \"{group}\", and there is no such group; allowed is one that 'getent group' knows.";
        }

        if (s.Shared is { } shared && Path.GetFullPath(s.Store) != Path.GetFullPath(Path.Combine(shared, s.Node)))
        {
            yield return $"'store' is \"{s.Store}\"; with 'shared' it is \"{Path.Combine(shared, s.Node)}\", or left out.";
        }

        if (s.Nodes.Count > 0 && !s.Nodes.Any(n => n.Name == s.Node))
        {
            yield return $"'nodes' does not have this node, \"{s.Node}\"; allowed is a list of all nodes of the cluster, this one included.";
        }

        if (s.Nodes.GroupBy(n => n.Name, StringComparer.Ordinal).FirstOrDefault(g => g.Count() > 1) is { } twice)
        {
            yield return $"'nodes' has \"{twice.Key}\" twice; allowed is each node once.";
        }

        if (s.Nodes.Count > 1 && s.Cluster is null)
        {
            yield return "'clusterId' is missing; with several 'nodes' it is a UUID that they share ('uuidgen' makes one).";
        }

        if (s.Nodes.Count > 1 && s.Listen is null)
        {
            yield return "'listen' is missing; with several 'nodes' it is the address and port that the others connect to.";
        }

        if (s.Listen is { } listen && s.ControlListen?.Port == listen.Port)
        {
            yield return $"'controlListen' is \"{s.ControlListen}\"; allowed is another port than that of 'listen'.";
        }

        if (s.PageListen is { } page && (s.Listen?.Port == page.Port || s.ControlListen?.Port == page.Port))
        {
            yield return $"'pageListen' is \"{page}\"; allowed is another port than those of 'listen' and 'controlListen'.";
        }
    }
}
