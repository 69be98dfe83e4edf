using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using Tmds.Linux;
using XenTwoLevelCkpt.NativeInterop.Libc;

#pragma warning disable CA1416 // This runs on Linux only, where files have modes.

namespace XenTwoLevelCkpt.NativeInterop.Files;

/// <summary>The files of this system.</summary>
public sealed class SystemFiles : IFileLayer
{
    private SystemFiles()
    {
    }

    /// <summary>The files of this system.</summary>
    public static SystemFiles Instance { get; } = new();

    private static UnixFileMode OwnerOnly => UnixFileMode.UserRead | UnixFileMode.UserWrite;

    /// <inheritdoc/>
    public void MakeFolder(string path) => _ = Directory.CreateDirectory(path, OwnerOnly | UnixFileMode.UserExecute);

    /// <inheritdoc/>
    public Stream Create(string path) => new FileStream(path, new FileStreamOptions
    {
        Mode = FileMode.Create,
        Access = FileAccess.Write,
        Share = FileShare.Read,
        BufferSize = 0,
        UnixCreateMode = OwnerOnly,
    });

    /// <inheritdoc/>
    public void Sync(Stream stream)
    {
        var file = (FileStream)stream;
        file.Flush();

        // .NET's own flush leaves out that a file system cannot sync.
        RawFiles.Check(LibC.fsync((int)file.SafeFileHandle.DangerousGetHandle()), "sync", RawPath.From(file.Name));
        GC.KeepAlive(file);
    }

    /// <inheritdoc/>
    public Stream OpenRead(string path) => new FileStream(
        path, new FileStreamOptions { Options = FileOptions.SequentialScan, Share = FileShare.Read | FileShare.Delete });

    /// <inheritdoc/>
    public bool FolderExists(string path) => Directory.Exists(path);

    /// <inheritdoc/>
    public IReadOnlyList<string> FilesIn(string path) => Directory.GetFiles(path);

    /// <inheritdoc/>
    public IReadOnlyList<string> FoldersIn(string path) => Directory.GetDirectories(path);

    /// <inheritdoc/>
    public void MoveFile(string from, string to) => File.Move(from, to, overwrite: true);

    /// <inheritdoc/>
    public void MoveFolder(string from, string to) => Directory.Move(from, to);

    /// <inheritdoc/>
    public void DeleteFile(string path) => File.Delete(path);

    /// <inheritdoc/>
    public void DeleteFolder(string path) => Directory.Delete(path);

    /// <inheritdoc/>
    public void SyncFolder(string path) => DirectorySync.Flush(path);

    /// <inheritdoc/>
    public IDisposable? TryLock(string path)
    {
        SafeFileHandle handle = OpenLock(path);
        try
        {
            RequireLocksOfOthers(path, (int)handle.DangerousGetHandle());
            if (SysFile.flock((int)handle.DangerousGetHandle(), SysFile.LOCK_EX | SysFile.LOCK_NB) == 0)
            {
                return handle;
            }

            int errno = Marshal.GetLastPInvokeError();
            if (errno != Errno.EAGAIN)
            {
                throw NoLocks(path, Errno.Describe(errno));
            }
        }
        catch
        {
            handle.Dispose();
            throw;
        }

        handle.Dispose();
        return null;
    }

    /// <inheritdoc/>
    public long? FreeBytes(string path) => new DriveInfo(path).AvailableFreeSpace;

    /// <summary>Why a mount's locks are none for other hosts that mounted the same, or null.</summary>
    /// <param name="mount">The mount.</param>
    /// <remarks>nfs(5): <c>nolock</c> and <c>local_lock</c> keep locks to this host, and the calls succeed all the same.
    /// </remarks>
    internal static string? LocksAreLocal(MountInfo mount) =>
        mount.Type.StartsWith("nfs", StringComparison.Ordinal)
            ? mount.Options.Split(',').FirstOrDefault(o => o is "nolock" or "local_lock=all" or "local_lock=flock")
            : null;

    private static SafeFileHandle OpenLock(string path)
    {
        // Not by FileStream, which locks by itself and does not tell where that failed.
        // unsafe: the call takes a pointer. Safe: the path lies on the stack.
        int fd;
        unsafe
        {
            fd = LibC.open(
                RawPath.Encode(RawPath.From(path), stackalloc byte[RawPath.MaxLength]),
                LibC.O_RDWR | LibC.O_CREAT | LibC.O_CLOEXEC, (ushort)384 /* 0600 */);
        }

        return fd >= 0
            ? new SafeFileHandle(fd, ownsHandle: true)
            : throw RawFiles.Failed("open", RawPath.From(path), Marshal.GetLastPInvokeError());
    }

    private static void RequireLocksOfOthers(string path, int fd)
    {
        // Where the file is behind symbolic links.
        string raw = RawFiles.ReadSymlink($"/proc/self/fd/{fd}");
        MountInfo? mount = Mounts.Read()
            .Where(m => m.Point == "/" || raw == m.Point || raw.StartsWith($"{m.Point}/", StringComparison.Ordinal))
            .MaxBy(m => m.Point.Length);
        if (mount is not null && LocksAreLocal(mount) is { } option)
        {
            throw NoLocks(path, $"it is mounted with '{option}', by which locks are not for other hosts");
        }
    }

    private static IOException NoLocks(string path, string why) => new(
        $"{path} cannot be locked: {why}. Without locks a second writer would go unnoticed. Use a local disk, or NFS version 4 "
        + "mounted without 'nolock' and 'local_lock'.");
}
