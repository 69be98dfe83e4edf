namespace XenTwoLevelCkpt.XlStream;

/// <summary>Constants of the two outer layers of a file of <c>xl save</c>: <c>tools/xl/xl.h</c>
/// (<c>save_file_header</c>) and Xen's <c>docs/specs/libxl-migration-stream</c>, revision 2.</summary>
internal static class XlFormat
{
    internal const int MagicSize = 32;

    /// <summary>The magic and four 32-bit words.</summary>
    internal const int HeaderSize = MagicSize + 16;

    internal const uint ByteOrder = 0x01020304;

    /// <summary>Mandatory flag: the configuration is JSON.</summary>
    internal const uint FlagJson = 1;

    /// <summary>Mandatory flag: a libxl stream of version 2 follows.</summary>
    internal const uint FlagStreamV2 = 2;

    /// <summary>The longest configuration taken. xl knows no bound; a domain with a thousand devices stays under
    /// 1 MiB, and a damaged length must not ask for memory.</summary>
    internal const int MaxConfigLength = 16 << 20;

    internal const int LibxlHeaderSize = 16;

    /// <summary>"LibxlFmt".</summary>
    internal const ulong LibxlIdent = 0x4c6962786c466d74;

    internal const uint LibxlVersion = 2;

    internal const int EmulatorHeaderSize = 8;

    internal static ReadOnlySpan<byte> Magic => "Xen saved domain, xl format\n \0 \r"u8;
}

/// <summary>Record types of the libxl stream.</summary>
internal enum LibxlRecordType : uint
{
    End = 0,
    LibxcContext = 1,
    EmulatorXenstoreData = 2,
    EmulatorContext = 3,
    CheckpointEnd = 4,
    CheckpointState = 5,
}
