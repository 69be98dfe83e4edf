using System.Text.RegularExpressions;
using XenTwoLevelCkpt.Images.Format;

namespace XenTwoLevelCkpt.Images.Store;

/// <summary>Names of the files of a checkpoint.</summary>
internal static partial class PartNames
{
    internal static string For(Guid domain, ImageContent content, string disk, int generation)
    {
        string extension = Extension(content, disk);
        return generation == 0 ? $"{domain:D}.{extension}" : $"{domain:D}.{generation}.{extension}";
    }

    /// <summary>True for a name that a part may have.</summary>
    internal static bool IsFor(string file, Guid domain, ImageContent content, string disk)
    {
        string prefix = $"{domain:D}.", suffix = Extension(content, disk);
        if (!IsImage(file) || !file.StartsWith(prefix, StringComparison.Ordinal)
            || !file.EndsWith(suffix, StringComparison.Ordinal))
        {
            return false;
        }

        int generation = file.Length - prefix.Length - suffix.Length;
        return generation == 0 || (generation > 1 && Generation().IsMatch(file.AsSpan(prefix.Length, generation)));
    }

    /// <summary>True for names that this software gives to images, whatever they hold.</summary>
    internal static bool IsImage(string file) => Image().IsMatch(file);

    private static string Extension(ImageContent content, string disk) => content switch
    {
        ImageContent.Registers => "reg",
        ImageContent.Memory => "inm",
        ImageContent.Channels => "com",
        _ => $"{disk}.ind",
    };

    [GeneratedRegex(
        @"\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(\.[0-9]{1,9})?\.(reg|inm|com|[A-Za-z0-9_-]{1,64}\.ind)\z",
        RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Image();

    [GeneratedRegex(@"\A[0-9]{1,9}\.\z", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Generation();
}
