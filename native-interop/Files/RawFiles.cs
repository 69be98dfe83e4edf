using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;
using Tmds.Linux;
using XenTwoLevelCkpt.NativeInterop.Headers;
using XenTwoLevelCkpt.NativeInterop.Libc;

namespace XenTwoLevelCkpt.NativeInterop.Files;

/// <summary>Files of any kind by raw paths (<see cref="RawPath"/>): what .NET does not do with owners, device nodes, links,
/// names that are no text. No call follows a symbolic link in the last place of a path.</summary>
/// <remarks>unsafe: libc takes pointers. Safe: paths lie on the stack (<see cref="RawPath.Encode"/>), and so does what a call
/// fills or reads, for as long as the call.</remarks>
public static unsafe class RawFiles
{
    [NotInC("Entries are asked for again until there are no more.")]
    private const int ListBufferLength = 32 << 10;

    /// <summary>Tells of a file.</summary>
    /// <param name="path">The raw path.</param>
    /// <exception cref="FileNotFoundException">There is none.</exception>
    /// <exception cref="IOException">It cannot be looked at.</exception>
    public static RawStat Stat(string path) => TryStat(path)
        ?? throw new FileNotFoundException($"There is no {RawPath.ToText(path)}.");

    /// <summary>Tells of a file; null where there is none.</summary>
    /// <param name="path">The raw path.</param>
    /// <exception cref="IOException">It cannot be looked at.</exception>
    public static RawStat? TryStat(string path)
    {
        statx stat = default;
        int result = LibC.statx(
            LibC.AT_FDCWD, RawPath.Encode(path, stackalloc byte[RawPath.MaxLength]),
            LibC.AT_SYMLINK_NOFOLLOW | LibC.AT_NO_AUTOMOUNT, LibC.STATX_BASIC_STATS, &stat);
        if (result == 0)
        {
            return From(stat);
        }

        int errno = Marshal.GetLastPInvokeError();
        return errno is Errno.ENOENT or Errno.ENOTDIR ? null : throw Failed("look at", path, errno);
    }

    /// <summary>Tells of an open file.</summary>
    /// <param name="handle">The file.</param>
    /// <exception cref="IOException">It cannot be looked at.</exception>
    public static RawStat Stat(SafeFileHandle handle)
    {
        ArgumentNullException.ThrowIfNull(handle);
        statx stat = default;
        byte empty = 0;
        return LibC.statx(
            (int)handle.DangerousGetHandle(), &empty, LibC.AT_EMPTY_PATH, LibC.STATX_BASIC_STATS, &stat) == 0
            ? From(stat)
            : throw Failed("look at", "an open file", Marshal.GetLastPInvokeError());
    }

    /// <summary>Tells of what a link of <c>/proc/PID/fd</c>, or any other link, leads to; null where it is gone.</summary>
    /// <param name="path">The raw path.</param>
    public static RawStat? TryStatTarget(string path)
    {
        statx stat = default;
        return LibC.statx(
            LibC.AT_FDCWD, RawPath.Encode(path, stackalloc byte[RawPath.MaxLength]), LibC.AT_NO_AUTOMOUNT,
            LibC.STATX_BASIC_STATS, &stat) == 0
            ? From(stat)
            : null;
    }

    /// <summary>The names in a directory, raw, in the order of their octets.</summary>
    /// <param name="path">The directory's raw path.</param>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static string[] List(string path)
    {
        var names = new List<string>();
        using SafeFileHandle handle = Open(path, LibC.O_RDONLY | LibC.O_DIRECTORY);
        int fd = (int)handle.DangerousGetHandle();
        Span<byte> buffer = new byte[ListBufferLength];
        while (true)
        {
            int length = (int)Dirent.getdents64(fd, ref buffer[0], (nuint)buffer.Length);
            if (length < 0)
            {
                throw Failed("list", path, Marshal.GetLastPInvokeError());
            }

            if (length == 0)
            {
                break;
            }

            for (Span<byte> rest = buffer[..length]; rest.Length > 0;)
            {
                int record = MemoryMarshal.Read<ushort>(rest[Dirent.ReclenOffset..]);
                Span<byte> name = rest[Dirent.NameOffset..record];
                name = name[..name.IndexOf((byte)0)];
                if (!name.SequenceEqual("."u8) && !name.SequenceEqual(".."u8))
                {
                    names.Add(Encoding.Latin1.GetString(name));
                }

                rest = rest[record..];
            }
        }

        string[] sorted = [.. names];
        Array.Sort(sorted, StringComparer.Ordinal);
        return sorted;
    }

    /// <summary>Opens a regular file to read it.</summary>
    /// <param name="path">The raw path.</param>
    /// <exception cref="IOException">It cannot be opened, or is a symbolic link.</exception>
    public static SafeFileHandle OpenToRead(string path) => Open(path, LibC.O_RDONLY);

    /// <summary>Makes a file, which only the owner may read, and opens it to write.</summary>
    /// <param name="path">The raw path.</param>
    /// <exception cref="IOException">It cannot be made, or there is something of the name.</exception>
    public static SafeFileHandle Create(string path) =>
        Open(path, LibC.O_WRONLY | LibC.O_CREAT | LibC.O_EXCL);

    /// <summary>Makes a directory, which only the owner may enter.</summary>
    /// <param name="path">The raw path.</param>
    /// <exception cref="IOException">It cannot be made, or there is something of the name.</exception>
    public static void MakeDirectory(string path) => Check(
        LibC.mkdir(RawPath.Encode(path, stackalloc byte[RawPath.MaxLength]), (ushort)448 /* 0700 */),
        "make directory", path);

    /// <summary>Makes a device node, a pipe or a socket, which only the owner may use.</summary>
    /// <param name="path">The raw path.</param>
    /// <param name="type">What to make.</param>
    /// <param name="device">Of a device node, which device.</param>
    /// <exception cref="IOException">It cannot be made, or there is something of the name.</exception>
    public static void MakeNode(string path, RawFileType type, (uint Major, uint Minor) device = default)
    {
        // The encoding of glibc's makedev: 12 low bits of the major and 8 of the minor number below, the rest above.
        ulong encoded = (((ulong)device.Major & 0xfffff000) << 32) | (((ulong)device.Major & 0xfff) << 8)
            | (((ulong)device.Minor & 0xffffff00) << 12) | ((ulong)device.Minor & 0xff);
        Check(
            SysStat.mknod(
                RawPath.Encode(path, stackalloc byte[RawPath.MaxLength]), (uint)type | 384 /* 0600 */, encoded),
            "make", path);
    }

    /// <summary>Makes a symbolic link.</summary>
    /// <param name="target">Where it leads, raw.</param>
    /// <param name="path">The link's raw path.</param>
    /// <exception cref="IOException">It cannot be made, or there is something of the name.</exception>
    public static void MakeSymlink(string target, string path) => Check(
        LibC.symlink(
            RawPath.Encode(target, stackalloc byte[RawPath.MaxLength]),
            RawPath.Encode(path, stackalloc byte[RawPath.MaxLength])),
        "make link", path);

    /// <summary>Where a symbolic link leads, raw.</summary>
    /// <param name="path">The link's raw path.</param>
    /// <exception cref="IOException">It is no link.</exception>
    public static string ReadSymlink(string path)
    {
        byte* target = stackalloc byte[RawPath.MaxLength];
        long length = LibC.readlink(
            RawPath.Encode(path, stackalloc byte[RawPath.MaxLength]), target, (size_t)RawPath.MaxLength);
        Check((int)Math.Min(length, 0), "read link", path);
        return Encoding.Latin1.GetString(target, (int)length);
    }

    /// <summary>Gives a file another name.</summary>
    /// <param name="existing">A raw path of the file.</param>
    /// <param name="path">The new one.</param>
    /// <exception cref="IOException">It cannot be made, or there is something of the name.</exception>
    public static void Link(string existing, string path) => Check(
        LibC.link(
            RawPath.Encode(existing, stackalloc byte[RawPath.MaxLength]),
            RawPath.Encode(path, stackalloc byte[RawPath.MaxLength])),
        "make link", path);

    /// <summary>Moves a file, and replaces what has the name.</summary>
    /// <param name="from">The raw path.</param>
    /// <param name="to">The new one, in the same file system.</param>
    /// <exception cref="IOException">It cannot be moved.</exception>
    public static void Rename(string from, string to) => Check(
        Stdio.rename(
            RawPath.Encode(from, stackalloc byte[RawPath.MaxLength]),
            RawPath.Encode(to, stackalloc byte[RawPath.MaxLength])),
        "move", from);

    /// <summary>Takes a name away.</summary>
    /// <param name="path">The raw path; no directory.</param>
    /// <exception cref="IOException">It cannot be taken away.</exception>
    public static void Remove(string path) =>
        Check(LibC.unlink(RawPath.Encode(path, stackalloc byte[RawPath.MaxLength])), "remove", path);

    /// <summary>Removes what is at a path, directories with all that they hold; nothing where there is nothing.</summary>
    /// <param name="path">The raw path.</param>
    /// <exception cref="IOException">Something cannot be removed.</exception>
    public static void RemoveTree(string path)
    {
        if (TryStat(path) is not { } stat)
        {
            return;
        }

        if (stat.Type != RawFileType.Directory)
        {
            Remove(path);
            return;
        }

        foreach (string name in List(path))
        {
            RemoveTree($"{path}/{name}");
        }

        Check(LibC.rmdir(RawPath.Encode(path, stackalloc byte[RawPath.MaxLength])), "remove", path);
    }

    /// <summary>Sets who owns a file.</summary>
    /// <param name="path">The raw path.</param>
    /// <param name="owner">The user's id.</param>
    /// <param name="group">The group's id.</param>
    /// <exception cref="IOException">It cannot be set.</exception>
    public static void SetOwner(string path, uint owner, uint group) => Check(
        LibC.lchown(RawPath.Encode(path, stackalloc byte[RawPath.MaxLength]), owner, group), "set the owner of", path);

    /// <summary>Sets a file's permissions. Not of a symbolic link, which has none: its target's would be set.</summary>
    /// <param name="path">The raw path.</param>
    /// <param name="permissions">The lower 12 bits of a mode.</param>
    /// <exception cref="IOException">They cannot be set.</exception>
    public static void SetPermissions(string path, int permissions) => Check(
        LibC.chmod(RawPath.Encode(path, stackalloc byte[RawPath.MaxLength]), checked((ushort)permissions)),
        "set the permissions of", path);

    /// <summary>Sets when a file was modified, and the time of access with it.</summary>
    /// <param name="path">The raw path.</param>
    /// <param name="time">The time.</param>
    /// <exception cref="IOException">It cannot be set.</exception>
    public static void SetModified(string path, RawTime time)
    {
        var both = new timespec { tv_sec = time.Seconds, tv_nsec = (long_t)(long)time.Nanoseconds };
        timespec* times = stackalloc timespec[] { both, both };
        Check(
            LibC.utimensat(
                LibC.AT_FDCWD, RawPath.Encode(path, stackalloc byte[RawPath.MaxLength]), times,
                LibC.AT_SYMLINK_NOFOLLOW),
            "set the time of", path);
    }

    /// <summary>Throws where a call failed.</summary>
    internal static void Check(int result, string verb, string path)
    {
        if (result < 0)
        {
            throw Failed(verb, path, Marshal.GetLastPInvokeError());
        }
    }

    internal static IOException Failed(string verb, string path, int errno) =>
        new($"Could not {verb} {RawPath.ToText(path)}: {Errno.Describe(errno)}.", errno);

    private static SafeFileHandle Open(string path, int flags)
    {
        int fd = LibC.open(
            RawPath.Encode(path, stackalloc byte[RawPath.MaxLength]), flags | LibC.O_NOFOLLOW | LibC.O_CLOEXEC,
            (ushort)384 /* 0600 */);
        return fd >= 0
            ? new SafeFileHandle(fd, ownsHandle: true)
            : throw Failed("open", path, Marshal.GetLastPInvokeError());
    }

    private static RawStat From(in statx s) => new(
        (RawFileType)(s.stx_mode & (ushort)LibC.S_IFMT), s.stx_mode & 0xfff, s.stx_uid, s.stx_gid, s.stx_nlink, s.stx_ino,
        (long)s.stx_size, (long)s.stx_blocks * 512, new RawTime(s.stx_mtime.tv_sec, s.stx_mtime.tv_nsec),
        new RawTime(s.stx_ctime.tv_sec, s.stx_ctime.tv_nsec), (s.stx_rdev_major, s.stx_rdev_minor),
        (s.stx_dev_major, s.stx_dev_minor));
}
