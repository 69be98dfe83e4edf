using System.Text.Json;
using System.Text.RegularExpressions;
using XenTwoLevelCkpt.Hypervisor;

namespace XenTwoLevelCkpt.Checkpointing.Disks;

/// <summary>A directory of Dom0 that a domain may mount by 9pfs: an element of libxl's <c>p9s</c>.</summary>
/// <param name="Tag">What the guest calls it.</param>
/// <param name="Path">The directory.</param>
/// <param name="Elsewhere">True where another domain serves it.</param>
internal sealed partial record XenShare(string Tag, string Path, bool Elsewhere)
{
    /// <summary>What a domain's configuration has of them. It was parsed strictly before.</summary>
    internal static IReadOnlyList<XenShare> Of(DomainConfiguration configuration)
    {
        using var document = JsonDocument.Parse(configuration.Toolstack);
        return document.RootElement.TryGetProperty("p9s", out JsonElement shares) && shares.ValueKind == JsonValueKind.Array
            ? [.. shares.EnumerateArray().Select(From)]
            : [];
    }

    /// <summary>What keeps it from being part of a checkpoint, or nothing; whether its directory is one of this host is
    /// not looked at.</summary>
    internal string Obstacle(DiskState state) => this switch
    {
        { Elsewhere: true } => ", served by a driver domain",
        _ when !Tags().IsMatch(Tag) => ", whose tag is not made of 1 to 64 letters, digits, '_' and '-'",
        _ when state.Directories.FirstOrDefault(d =>
            Path != d.Path && $"{Path}/".StartsWith($"{d.Root}/", StringComparison.Ordinal)) is { } inside => $", which is inside directory {inside.Name}: its path is {inside.Path}",
        _ => "",
    };

    private static XenShare From(JsonElement share) => new(
        Text(share, "tag") ?? "?", Text(share, "path")?.TrimEnd('/') ?? "?",
        Text(share, "backend_domid") is not (null or "0") || Text(share, "backend_domname") is not (null or ""));

    private static string? Text(JsonElement share, string name) =>
        share.ValueKind == JsonValueKind.Object && share.TryGetProperty(name, out JsonElement value)
        && value.ValueKind != JsonValueKind.Null
            ? value.ToString()
            : null;

    // What the name of a disk is in an image (docs/checkpoint-format.md).
    [GeneratedRegex("^[A-Za-z0-9_-]{1,64}$", RegexOptions.None, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Tags();
}
