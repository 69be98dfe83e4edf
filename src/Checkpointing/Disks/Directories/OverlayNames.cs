namespace XenTwoLevelCkpt.Checkpointing.Disks.Directories;

/// <summary>How overlayfs marks things in a layer (Documentation/filesystems/overlayfs.rst of Linux).</summary>
internal static class OverlayNames
{
    /// <summary>On a directory: what lower layers have of it is not seen; its value is <c>y</c>.</summary>
    internal const string Opaque = Prefix + "opaque";

    /// <summary>The contents or the name lie in another place. Never made by a mount with redirect_dir and metacopy off.
    /// </summary>
    internal const string Redirect = Prefix + "redirect", Metacopy = Prefix + "metacopy";

    private const string Prefix = "trusted.overlay.", Escape = Prefix + "overlay.";

    /// <summary>What all mounts have: nothing in a layer refers to another layer, and layers can be stacked anew.</summary>
    internal const string Options = "redirect_dir=off,metacopy=off,index=off";

    /// <summary>True for attributes that overlayfs keeps for itself.</summary>
    internal static bool IsOwn(string attribute) => attribute.StartsWith(Prefix, StringComparison.Ordinal);

    /// <summary>True for attributes of an overlayfs inside the directory, which Linux stores with a longer name since 6.7.
    /// </summary>
    internal static bool IsEscaped(string attribute) => attribute.StartsWith(Escape, StringComparison.Ordinal);

    /// <summary>The name that a layer has for an attribute of the tree that a guest sees.</summary>
    internal static string Stored(string attribute) =>
        IsOwn(attribute) ? Escape + attribute[Prefix.Length..] : attribute;
}
