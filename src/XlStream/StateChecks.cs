namespace XenTwoLevelCkpt.XlStream;

/// <summary>Checks of the blobs that a caller gives to be written.</summary>
internal static class StateChecks
{
    internal static void Policies(ReadOnlyMemory<byte> cpuid, ReadOnlyMemory<byte> msrs, string parameter)
    {
        Blob(cpuid, 0, int.MaxValue, LibxcFormat.CpuidLeafSize, "CpuidPolicy", parameter);
        Blob(msrs, 0, int.MaxValue, LibxcFormat.MsrEntrySize, "MsrPolicy", parameter);
    }

    internal static void Blob(
        ReadOnlyMemory<byte> blob, int min, int max, int multiple, string name, string parameter)
    {
        max = (int)Math.Min(max, LibxcFormat.MaxRecordLength - LibxcFormat.Alignment);
        if (blob.Length < min || blob.Length > max)
        {
            throw new ArgumentException($"{name} has {blob.Length} bytes, not {min} to {max}.", parameter);
        }

        if (blob.Length % multiple != 0)
        {
            throw new ArgumentException(
                $"{name} has {blob.Length} bytes, which is no multiple of {multiple}.", parameter);
        }
    }
}
