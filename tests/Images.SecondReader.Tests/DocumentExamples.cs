using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace XenTwoLevelCkpt.Images.SecondReader.Tests;

// The examples of section 10 as docs/checkpoint-format.md prints them.
internal static partial class DocumentExamples
{
    // Each dump begins with the offset 0.
    public static IReadOnlyList<byte[]> Images()
    {
        List<List<byte>> images = [];
        foreach (Match line in DumpLine().Matches(Text()))
        {
            if (line.Groups[1].Value == "0000")
            {
                images.Add([]);
            }

            images[^1].AddRange(line.Groups[2].Value.Split(' ', StringSplitOptions.RemoveEmptyEntries)
                .Select(octet => byte.Parse(octet, NumberStyles.HexNumber, CultureInfo.InvariantCulture)));
        }

        return [.. images.Select(image => image.ToArray())];
    }

    public static byte[] Manifest()
    {
        string block = ManifestBlock().Match(Text()).Value;
        return Encoding.UTF8.GetBytes(string.Concat(block.Split('\n')[..^1].Select(line => line[4..] + "\n")));
    }

    public static string Text()
    {
        DirectoryInfo? folder = new(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "XenTwoLevelCkpt.sln")))
        {
            folder = folder.Parent;
        }

        return File.ReadAllText(Path.Combine(folder!.FullName, "docs", "checkpoint-format.md"));
    }

    [GeneratedRegex(@"^    ([0-9a-f]{4})  ((?:[0-9a-f]{2} ?)+)$", RegexOptions.Multiline | RegexOptions.CultureInvariant)]
    private static partial Regex DumpLine();

    [GeneratedRegex(@"^    \{\n(?:    .*\n)+", RegexOptions.Multiline | RegexOptions.CultureInvariant)]
    private static partial Regex ManifestBlock();
}
