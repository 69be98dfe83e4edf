using System.Text.RegularExpressions;
using XenTwoLevelCkpt.Images.Format;

namespace XenTwoLevelCkpt.Images.Store;

/// <summary>Names of the files of a checkpoint.</summary>
internal static partial class PartNames
{
    /// <summary>The longest disk name: leaves room for the UUID and the suffixes in a file name of 255 bytes.</summary>
    internal const int MaxDiskName = 64;

    internal static string For(Guid domain, ImageContent content, string disk, int generation)
    {
        string extension = content switch
        {
            ImageContent.Registers => "reg",
            ImageContent.Memory => "inm",
            ImageContent.Channels => "com",
            _ => $"{disk}.ind",
        };
        return generation == 0 ? $"{domain:D}.{extension}" : $"{domain:D}.{generation}.{extension}";
    }

    /// <summary>True for names that this software gives to images, whatever they hold.</summary>
    internal static bool IsImage(string file) => Image().IsMatch(file);

    internal static bool IsDisk(string name) => Disk().IsMatch(name);

    [GeneratedRegex(
        @"\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(\.[0-9]{1,9})?\.(reg|inm|com|[A-Za-z0-9_-]{1,64}\.ind)\z",
        RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Image();

    [GeneratedRegex(@"\A[A-Za-z0-9_-]{1,64}\z", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Disk();
}
