using System.Text.Json;

namespace XenTwoLevelCkpt.XlStream;

/// <summary>Takes the members of interest out of a <c>libxl_domain_config</c>.</summary>
/// <remarks>Throws a <see cref="FormatException"/> for what is none.</remarks>
internal static class ConfigParser
{
    // Of 52 bits of physical addresses.
    private const ulong MostKiB = 1UL << 42;

    internal static XlConfigInfo Parse(JsonElement root)
    {
        JsonElement info = Member(root, "c_info", JsonValueKind.Object)
            ?? throw Bad("has no member c_info");
        string name = Text(info, "name") ?? throw Bad("has no c_info.name");
        string? uuid = Text(info, "uuid");
        Guid id = Guid.Empty;
        if (uuid is not null && !Guid.TryParseExact(uuid, "D", out id))
        {
            throw Bad($"has '{uuid}' as c_info.uuid");
        }

        var disks = new List<XlDisk>();
        if (Member(root, "disks", JsonValueKind.Array) is { } array)
        {
            disks.AddRange(array.EnumerateArray().Select(Disk));
        }

        return new XlConfigInfo(
            name, uuid is null ? null : id, Type(Text(info, "type")), disks,
            Member(root, "nics", JsonValueKind.Array) is { } nics ? [.. nics.EnumerateArray().Select(Nic)] : [],
            [.. root.EnumerateObject().Where(IsDevices).SelectMany(kind =>
                Enumerable.Range(0, kind.Value.GetArrayLength()).Select(number => new XlDevice(kind.Name, number)))],
            Member(root, "b_info", JsonValueKind.Object) is { } build ? MemoryOf(build) : 0);
    }

    private static long MemoryOf(JsonElement build) =>
        (KiB(build, "target_memkb") ?? KiB(build, "max_memkb") ?? 0) + (KiB(build, "shadow_memkb") ?? 0);

    // LIBXL_MEMKB_DEFAULT is 2^64 - 1: libxl reckons it itself.
    private static long? KiB(JsonElement parent, string name) => Member(parent, name, JsonValueKind.Number) switch
    {
        null => null,
        { } value when value.TryGetUInt64(out ulong kib) => kib <= MostKiB ? (long)kib : null,
        _ => throw Bad($"has a {name} that is no amount of memory"),
    };

    // All arrays of a libxl_domain_config hold devices (libxl_types.idl of Xen 4.17 to 4.20).
    private static bool IsDevices(JsonProperty member) =>
        member.Value.ValueKind == JsonValueKind.Array && member.Name is not ("disks" or "nics");

    private static XlNic Nic(JsonElement nic) => nic.ValueKind != JsonValueKind.Object
        ? throw Bad("has a network interface that is no object")
        : new XlNic(
            (int)Number(nic, "devid"), Text(nic, "mac"), Text(nic, "bridge"), (int)Number(nic, "backend_domid"),
            Text(nic, "backend_domname"));

    private static XlGuestType Type(string? type) => type switch
    {
        "pv" => XlGuestType.Pv,
        "pvh" => XlGuestType.Pvh,
        "hvm" => XlGuestType.Hvm,
        null => throw Bad("has no c_info.type"),
        _ => throw Bad($"has '{type}' as c_info.type"),
    };

    private static XlDisk Disk(JsonElement disk)
    {
        if (disk.ValueKind != JsonValueKind.Object)
        {
            throw Bad("has a disk that is no object");
        }

        return new XlDisk(
            Text(disk, "vdev") ?? throw Bad("has a disk without vdev"),
            Text(disk, "pdev_path"),
            Text(disk, "backend") ?? "unknown",
            Text(disk, "format") ?? "unknown",
            Number(disk, "readwrite") != 0,
            Number(disk, "is_cdrom") != 0,
            Text(disk, "script"),
            (int)Number(disk, "backend_domid"),
            Text(disk, "backend_domname"));
    }

    // A string that libxl does not know is a null in its JSON, and equal to one that is missing.
    private static string? Text(JsonElement parent, string name)
    {
        try
        {
            return Member(parent, name, JsonValueKind.String)?.GetString();
        }
        catch (InvalidOperationException e)
        {
            // Half a surrogate pair.
            throw new FormatException($"The configuration has a {name} that is no text.", e);
        }
    }

    private static long Number(JsonElement parent, string name) => Member(parent, name, JsonValueKind.Number) switch
    {
        null => 0,
        { } value when value.TryGetInt32(out int number) => number,
        _ => throw Bad($"has a {name} that is no 32-bit integer"),
    };

    private static JsonElement? Member(JsonElement parent, string name, JsonValueKind kind)
    {
        if (parent.ValueKind != JsonValueKind.Object)
        {
            throw Bad("is no object");
        }

        if (!parent.TryGetProperty(name, out JsonElement value) || value.ValueKind == JsonValueKind.Null)
        {
            return null;
        }

        return value.ValueKind == kind ? value : throw Bad($"has a {name} that is a {value.ValueKind}, not a {kind}");
    }

    private static FormatException Bad(string what) => new($"The configuration {what}.");
}
