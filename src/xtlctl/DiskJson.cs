using System.Text.Json.Serialization;

namespace XenTwoLevelCkpt.Control;

/// <summary><c>xtlctl disk list --json</c>.</summary>
/// <param name="Pools">Thin pools.</param>
/// <param name="Volumes">Volumes.</param>
/// <param name="Directories">Directories.</param>
internal sealed record DisksJson(
    IReadOnlyList<PoolJson> Pools, IReadOnlyList<VolumeJson> Volumes, IReadOnlyList<DirectoryJson> Directories);

/// <summary>A pool.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Data">The device or file with its data.</param>
/// <param name="Metadata">The device or file with its metadata.</param>
/// <param name="BlockBytes">Bytes of a block.</param>
/// <param name="State"><c>rw</c>, <c>ro</c>, <c>out_of_data_space</c>, <c>failed</c>, or <c>inactive</c>.</param>
/// <param name="UsedBytes">Data in use; null where it is inactive.</param>
/// <param name="TotalBytes">Data in all; null where it is inactive.</param>
/// <param name="MetadataUsedPercent">How full the metadata device is; null where it is inactive.</param>
internal sealed record PoolJson(
    string Name, string Data, string Metadata, long BlockBytes, string State, long? UsedBytes, long? TotalBytes,
    double? MetadataUsedPercent);

/// <summary>A volume.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Path">The device for a guest's configuration.</param>
/// <param name="Pool">Its pool.</param>
/// <param name="Bytes">Its length.</param>
/// <param name="State"><c>free</c>, <c>in use</c>, <c>suspended</c>, or <c>inactive</c>.</param>
/// <param name="UsedBytes">Bytes that have blocks in the pool; null where it is inactive.</param>
/// <param name="Checkpoint">The checkpoint that the next increment builds upon, or null.</param>
/// <param name="Kept">What it was before restores.</param>
internal sealed record VolumeJson(
    string Name, string Path, string Pool, long Bytes, string State, long? UsedBytes, Guid? Checkpoint,
    IReadOnlyList<KeptJson> Kept);

/// <summary>What a volume was before a restore.</summary>
/// <param name="Since">When it was put aside.</param>
/// <param name="Bytes">Its length.</param>
/// <param name="RestoredTo">The checkpoint that the volume was restored to.</param>
internal sealed record KeptJson(DateTimeOffset Since, long Bytes, Guid RestoredTo);

/// <summary>A directory.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Path">The path for a guest's configuration.</param>
/// <param name="State"><c>free</c>, <c>in use</c>, or <c>inactive</c>.</param>
/// <param name="Layers">How many layers it has, the upper one included.</param>
/// <param name="Checkpoint">The checkpoint that the next increment builds upon, or null.</param>
/// <param name="Kept">What it was before restores.</param>
internal sealed record DirectoryJson(
    string Name, string Path, string State, int Layers, Guid? Checkpoint, IReadOnlyList<KeptDirectoryJson> Kept);

/// <summary>What a directory was before a restore.</summary>
/// <param name="Since">When it was put aside.</param>
/// <param name="Layers">How many layers it had, the upper one included.</param>
/// <param name="RestoredTo">The checkpoint that the directory was restored to.</param>
internal sealed record KeptDirectoryJson(DateTimeOffset Since, int Layers, Guid RestoredTo);

/// <summary>Serialises without reflection, which costs time at start-up.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true)]
[JsonSerializable(typeof(DisksJson))]
internal sealed partial class DiskJsonContext : JsonSerializerContext;
