using System.Globalization;
using XenTwoLevelCkpt.NativeInterop.Devices;

namespace XenTwoLevelCkpt.Checkpointing.Disks.Thin;

/// <summary>What a thin pool says of itself (Documentation/admin-guide/device-mapper/thin-provisioning.rst):
/// <c>transaction used/total-metadata used/total-data held-root mode discards if-no-space needs_check ...</c>, or
/// <c>Fail</c>, or <c>Error</c>.</summary>
/// <param name="UsedMetadata">Blocks of 4 KiB of metadata in use.</param>
/// <param name="TotalMetadata">Blocks of metadata in all.</param>
/// <param name="UsedData">Blocks of data in use, in the pool's block size.</param>
/// <param name="TotalData">Blocks of data in all.</param>
/// <param name="HasMetadataSnapshot">A snapshot of the metadata is held for a reader.</param>
/// <param name="Mode"><c>rw</c>, <c>ro</c>, <c>out_of_data_space</c>, or <c>failed</c>.</param>
/// <param name="NeedsCheck">The metadata has to be checked before the pool can be written again.</param>
public sealed record PoolStatus(
    long UsedMetadata, long TotalMetadata, long UsedData, long TotalData, bool HasMetadataSnapshot, string Mode,
    bool NeedsCheck)
{
    /// <summary>Reads a status line.</summary>
    /// <param name="target">The pool's target.</param>
    /// <exception cref="DiskException">The line is none.</exception>
    public static PoolStatus Parse(DmTarget target)
    {
        ArgumentNullException.ThrowIfNull(target);
        string[] fields = target.Parameters.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        if (target.Type == "thin-pool" && fields is ["Fail" or "Error", ..])
        {
            return new PoolStatus(0, 0, 0, 0, false, "failed", true);
        }

        return target.Type == "thin-pool" && fields.Length >= 8
            && TryShare(fields[1], out long usedMetadata, out long totalMetadata)
            && TryShare(fields[2], out long usedData, out long totalData)
                ? new PoolStatus(
                    usedMetadata, totalMetadata, usedData, totalData, fields[3] != "-", fields[4],
                    fields.Contains("needs_check", StringComparer.Ordinal))
                : throw new DiskException($"'{target.Type} {target.Parameters}' is not the status of a thin pool.");
    }

    /// <summary>Why a snapshot cannot be taken, or null.</summary>
    /// <remarks>A snapshot takes a few blocks of metadata at once, and each block that is written after it a block of
    /// data. A pool that runs full stops its guests, so it is told before.</remarks>
    internal string? Problem => this switch
    {
        { NeedsCheck: true } => "its metadata has to be checked ('thin_check', 'thin_repair')",
        { Mode: not "rw" } => $"it is in mode {Mode}",
        _ when TotalMetadata - UsedMetadata < 16 => "its metadata device is full",
        _ when UsedData == TotalData => "it has no free block left",
        _ => null,
    };

    private static bool TryShare(string text, out long used, out long total)
    {
        total = 0;
        string[] parts = text.Split('/');
        return long.TryParse(parts[0], NumberStyles.None, null, out used) && parts.Length == 2
            && long.TryParse(parts[1], NumberStyles.None, null, out total);
    }
}
