namespace XenTwoLevelCkpt.NativeInterop.Libc;

/// <summary>glibc's soname, the same since 1997.</summary>
internal static class LibcName
{
    internal const string Value = "libc.so.6";
}
