using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace XenTwoLevelCkpt.Images.SecondReader.Tests;

internal sealed record ManifestLine(string Content, string Name, string Kind, Guid Parent, string File);

// Writes stores of one domain from the words of docs/checkpoint-format.md, into a directory that it removes.
internal sealed class StoreBuilder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("second-reader-").FullName;

    // Domains without parts, which come before the one with images.
    public Guid[] OtherDomains { get; set; } = [];

    public void Dispose() => Directory.Delete(Path, recursive: true);

    public string DirectoryOf(ulong epoch) =>
        System.IO.Path.Combine(Path, epoch.ToString("D20", CultureInfo.InvariantCulture));

    public void Add(byte id, ulong epoch, params ImageBuilder[] images) =>
        Add(id, epoch, [.. images.Select(image => (LineOf(image), image))]);

    public void Add(byte id, ulong epoch, params (ManifestLine Line, ImageBuilder Image)[] parts)
    {
        string directory = Directory.CreateDirectory(DirectoryOf(epoch)).FullName;
        List<string> lines = [];
        foreach ((ManifestLine line, ImageBuilder image) in parts)
        {
            byte[] octets = image.Build();
            File.WriteAllBytes(System.IO.Path.Combine(directory, line.File), octets);
            string parent = line.Parent == Guid.Empty ? "" : $"\"parent\":\"{line.Parent:D}\",";
            lines.Add(
                $"{{\"content\":\"{line.Content}\",\"name\":\"{line.Name}\",\"kind\":\"{line.Kind}\",{parent}" +
                $"\"file\":\"{line.File}\",\"length\":{octets.Length},\"digest\":\"{DigestOf(octets)}\"}}");
        }

        string body =
            $"{{\"format\":\"xtl-checkpoint\",\"version\":1,\"id\":\"{ImageBuilder.Id(id):D}\",\"epoch\":{epoch},\"index\":0," +
            "\"captured\":\"1970-01-01T00:00:00.000000Z\",\"label\":\"\",\"node\":\"n\"," +
            $"\"domains\":[{string.Concat(OtherDomains.Select(d => $"{{\"uuid\":\"{d:D}\",\"name\":\"\",\"parts\":[]}},"))}" +
            $"{{\"uuid\":\"{ImageBuilder.SomeDomain:D}\",\"name\":\"guest\",\"parts\":[{string.Join(',', lines)}]}}]";
        string manifest = $"{body},\"sha256\":\"{Digest(Encoding.UTF8.GetBytes(body))}\"}}\n";
        File.WriteAllText(System.IO.Path.Combine(directory, "manifest.json"), manifest);
    }

    private static string Digest(byte[] octets) => Convert.ToHexStringLower(SHA256.HashData(octets));

    // Section 5.7.
    private static string DigestOf(byte[] image)
    {
        List<byte> frame = [.. image[..160]];
        int at = 160;
        while (BitConverter.ToUInt16(image, at) != 65535)
        {
            frame.AddRange(image[at..(at + 16)]);
            at += 16 + BitConverter.ToInt32(image, at + 4);
        }

        return Digest([.. frame, .. image[at..(at + 152)]]);
    }

    private static ManifestLine LineOf(ImageBuilder image)
    {
        (string content, string name, string suffix) = image.Content switch
        {
            ImageContent.Registers => ("registers", "", "reg"),
            ImageContent.Memory => ("memory", "", "inm"),
            ImageContent.BlockDevice => ("block-device", "xvda", "xvda.ind"),
            ImageContent.Directory => ("directory", "share", "share.ind"),
            _ => ("channels", "", "com"),
        };
        string kind = image.Kind == ImageKind.Full ? "full" : "increment";
        return new ManifestLine(content, name, kind, image.Parent, $"{ImageBuilder.SomeDomain:D}.{suffix}");
    }
}
