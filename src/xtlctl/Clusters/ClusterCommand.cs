using System.CommandLine;

namespace XenTwoLevelCkpt.Control.Clusters;

/// <summary><c>xtlctl cluster</c>: what concerns several nodes.</summary>
internal static class ClusterCommand
{
    /// <summary>Makes the command.</summary>
    internal static Command Make() => new("cluster", "What concerns several nodes.") { TimelineCommand.Make() };
}
