using System.Runtime.InteropServices;
using System.Text;
using XenTwoLevelCkpt.NativeInterop.Headers;
using XenTwoLevelCkpt.NativeInterop.Libc;

namespace XenTwoLevelCkpt.NativeInterop.Files;

/// <summary>Extended attributes of files, or of links themselves, by raw paths.</summary>
/// <remarks>unsafe: libc takes pointers. Safe: paths and names lie on the stack (<see cref="RawPath.Encode"/>), what a call
/// fills is pinned for it, and each call gets the length of its buffer.</remarks>
public static unsafe class RawAttributes
{
    /// <summary>The attributes of a file, by the octets of their names; empty where the file system has none.</summary>
    /// <param name="path">The raw path.</param>
    /// <exception cref="IOException">They cannot be read.</exception>
    public static IReadOnlyList<(string Name, byte[] Value)> Read(string path)
    {
        Span<byte> encoded = stackalloc byte[RawPath.MaxLength];
        byte* file = RawPath.Encode(path, encoded);
        long length = SysXattr.llistxattr(file, null, 0);
        if (length < 0 && Marshal.GetLastPInvokeError() == Errno.EOPNOTSUPP)
        {
            return [];
        }

        RawFiles.Check((int)Math.Min(length, 0), "list the attributes of", path);
        if (length == 0)
        {
            return [];
        }

        byte[] names = new byte[LinuxLimits.XATTR_LIST_MAX];
        fixed (byte* list = names)
        {
            length = SysXattr.llistxattr(file, list, (nuint)names.Length);
        }

        RawFiles.Check((int)Math.Min(length, 0), "list the attributes of", path);
        var attributes = new List<(string Name, byte[] Value)>();
        byte[] value = new byte[LinuxLimits.XATTR_SIZE_MAX];
        Span<byte> key = stackalloc byte[LinuxLimits.XATTR_NAME_MAX + 1];
        foreach (string name in Encoding.Latin1.GetString(names, 0, (int)length).Split('\0', StringSplitOptions.RemoveEmptyEntries))
        {
            long size;
            fixed (byte* octets = value)
            {
                size = SysXattr.lgetxattr(file, RawPath.Encode(name, key), octets, (nuint)value.Length);
            }

            RawFiles.Check((int)Math.Min(size, 0), $"read attribute {name} of", path);
            attributes.Add((name, value[..(int)size]));
        }

        attributes.Sort((a, b) => string.CompareOrdinal(a.Name, b.Name));
        return attributes;
    }

    /// <summary>Sets an attribute.</summary>
    /// <param name="path">The file's raw path.</param>
    /// <param name="name">The attribute's name, raw.</param>
    /// <param name="value">Its value.</param>
    /// <exception cref="IOException">It cannot be set.</exception>
    public static void Set(string path, string name, ReadOnlySpan<byte> value)
    {
        fixed (byte* octets = value)
        {
            RawFiles.Check(
                SysXattr.lsetxattr(
                    RawPath.Encode(path, stackalloc byte[RawPath.MaxLength]),
                    RawPath.Encode(name, stackalloc byte[LinuxLimits.XATTR_NAME_MAX + 1]), octets, (nuint)value.Length, 0),
                $"set attribute {name} of", path);
        }
    }

    /// <summary>Takes an attribute away.</summary>
    /// <param name="path">The file's raw path.</param>
    /// <param name="name">The attribute's name, raw.</param>
    /// <exception cref="IOException">It cannot be taken away.</exception>
    public static void Remove(string path, string name) => RawFiles.Check(
        SysXattr.lremovexattr(
            RawPath.Encode(path, stackalloc byte[RawPath.MaxLength]),
            RawPath.Encode(name, stackalloc byte[LinuxLimits.XATTR_NAME_MAX + 1])),
        $"remove attribute {name} of", path);
}
