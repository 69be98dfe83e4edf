using Tmds.Linux;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Files;

/// <summary>A mount, as <c>/proc/self/mountinfo</c> tells of it.</summary>
/// <param name="Point">Where it is, raw.</param>
/// <param name="Type">The file system.</param>
/// <param name="Options">The options of the file system, raw and as the kernel prints them.</param>
public sealed record MountInfo(string Point, string Type, string Options);

/// <summary>Mounts of this process's mount namespace, by raw paths.</summary>
/// <remarks>unsafe: libc takes pointers. Safe: all lie on the stack for the call (<see cref="RawPath.Encode"/>).</remarks>
public static unsafe class Mounts
{
    /// <summary>What the options of a mount may have, their final zero included: a page.</summary>
    [NotInC("No header names it; mount(2) does.")]
    public const int MaxOptions = 4096;

    /// <summary>Mounts a file system, unseen by other mount namespaces.</summary>
    /// <param name="type">The file system, such as <c>overlay</c>.</param>
    /// <param name="point">The directory.</param>
    /// <param name="options">The file system's options.</param>
    /// <param name="readOnly">True for a mount that cannot be written through.</param>
    /// <exception cref="IOException">It cannot be mounted.</exception>
    public static void Mount(string type, string point, string options, bool readOnly = false) =>
        Call(type, point, type, readOnly ? LibC.MS_RDONLY : default, options, "mount");

    /// <summary>Keeps what is mounted below a mount to this namespace, which is needed for mounts to be moved.</summary>
    /// <param name="point">The mount.</param>
    /// <exception cref="IOException">It cannot be changed.</exception>
    public static void MakePrivate(string point) => Call("none", point, "", LibC.MS_PRIVATE, "", "make private");

    /// <summary>Makes the file system of a mount read-only.</summary>
    /// <param name="type">The file system.</param>
    /// <param name="point">The mount.</param>
    /// <exception cref="IOException">It cannot be changed.</exception>
    public static void MakeReadOnly(string type, string point) =>
        Call(type, point, type, LibC.MS_REMOUNT | LibC.MS_RDONLY, "", "make read-only");

    /// <summary>Moves a mount, at once and as a whole.</summary>
    /// <param name="from">Where it is; in a private mount.</param>
    /// <param name="to">The directory.</param>
    /// <exception cref="IOException">It cannot be moved.</exception>
    public static void Move(string from, string to) => Call(from, to, "", LibC.MS_MOVE, "", "move a mount to");

    /// <summary>Takes a mount away with what is mounted below it. Files that somebody has open stay open.</summary>
    /// <param name="point">The mount.</param>
    /// <param name="whenIdle">True: only where nobody uses it.</param>
    /// <exception cref="IOException">It is in use, or none.</exception>
    public static void Unmount(string point, bool whenIdle = false) => RawFiles.Check(
        LibC.umount2(
            RawPath.Encode(point, stackalloc byte[RawPath.MaxLength]),
            LibC.UMOUNT_NOFOLLOW | (whenIdle ? 0 : LibC.MNT_DETACH)),
        "unmount", point);

    /// <summary>The mounts of this namespace, in the order in which they were made.</summary>
    public static IReadOnlyList<MountInfo> Read()
    {
        var mounts = new List<MountInfo>();
        foreach (string line in File.ReadAllLines("/proc/self/mountinfo", System.Text.Encoding.Latin1))
        {
            // ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [FIELD...] - TYPE SOURCE OPTIONS (proc(5)).
            string[] fields = line.Split(' ');
            int dash = Array.IndexOf(fields, "-", 6);
            if (dash > 0 && fields.Length > dash + 3)
            {
                mounts.Add(new MountInfo(Unescape(fields[4]), fields[dash + 1], Unescape(fields[dash + 3])));
            }
        }

        return mounts;
    }

    // Blanks, tabs, line feeds and backslashes are a backslash and three octal digits.
    private static string Unescape(string text)
    {
        for (int at = text.IndexOf('\\', StringComparison.Ordinal); at >= 0 && at + 3 < text.Length;
            at = text.IndexOf('\\', at + 1))
        {
            text = $"{text[..at]}{(char)Convert.ToInt32(text.Substring(at + 1, 3), 8)}{text[(at + 4)..]}";
        }

        return text;
    }

    private static void Call(string source, string point, string type, ulong_t flags, string options, string verb)
    {
        if (options.Length >= MaxOptions)
        {
            throw new IOException($"The options of mount {RawPath.ToText(point)} have {options.Length} octets; the kernel "
                + $"takes {MaxOptions - 1}.");
        }

        // The kernel copies a page, and where less is mapped, that.
        RawFiles.Check(
            LibC.mount(
                RawPath.Encode(source, stackalloc byte[RawPath.MaxLength]),
                RawPath.Encode(point, stackalloc byte[RawPath.MaxLength]),
                RawPath.Encode(type, stackalloc byte[64]), flags,
                RawPath.Encode(options, stackalloc byte[MaxOptions])),
            verb, point);
    }
}
