using XenTwoLevelCkpt.NativeInterop.Files;

namespace XenTwoLevelCkpt.Images.Store;

/// <summary>Does once, with files of no meaning, all that a store asks of a file system. One that cannot is found out when the
/// store is opened, not when guests stand still.</summary>
internal static class StoreProbe
{
    // Readers ignore these names.
    private const string First = "probe";
    private const string Second = "probe.moved";

    // ENOSPC and EDQUOT (errno(3)), which .NET gives as the result of an IOException.
    private const int NoSpace = 28;
    private const int NoQuota = 122;

    /// <summary>Tries the file system of a store.</summary>
    /// <param name="root">The store's directory.</param>
    /// <param name="files">The files.</param>
    /// <exception cref="IOException">It cannot do something; the message says what. That it is full is none of it: a full store
    /// is opened to make room.</exception>
    internal static void Run(string root, IFileLayer files)
    {
        string folder = Path.Combine(root, First), moved = Path.Combine(root, Second);
        string step = "remove a directory";
        try
        {
            Remove(files, folder);
            Remove(files, moved);
            step = "make a directory";
            files.MakeFolder(folder);
            step = "make and write a file";
            string a = Path.Combine(folder, "a"), b = Path.Combine(folder, "b");
            Write(files, a, 1, ref step);
            Write(files, b, 2, ref step);
            step = "sync a directory";
            files.SyncFolder(folder);
            step = "rename a file over another";
            files.MoveFile(a, b);
            step = "rename a directory";
            files.MoveFolder(folder, moved);
            step = "sync a directory";
            files.SyncFolder(root);
            step = "read what was written";
            using (Stream stream = files.OpenRead(Path.Combine(moved, "b")))
            {
                if (stream.ReadByte() != 1 || stream.ReadByte() != -1)
                {
                    throw new IOException("it has other contents.");
                }
            }

            step = "remove a directory";
            Remove(files, moved);
        }
        catch (Exception e) when ((e is IOException && !IsFull(e)) || e is UnauthorizedAccessException)
        {
            throw new IOException(
                $"Store {root} cannot be used: its file system does not {step}: {e.Message.TrimEnd('.')}. A store needs a "
                + "local disk, or NFS version 4, that this user may write to.", e);
        }
        catch (IOException)
        {
            // Full.
        }
    }

    /// <summary>True where a file system or a quota is full.</summary>
    internal static bool IsFull(Exception e) =>
        e is IOException { HResult: NoSpace or NoQuota } || (e.InnerException is { } inner && IsFull(inner));

    private static void Write(IFileLayer files, string path, byte content, ref string step)
    {
        using Stream stream = files.Create(path);
        stream.WriteByte(content);
        step = "sync a file";
        files.Sync(stream);
        step = "make and write a file";
    }

    private static void Remove(IFileLayer files, string folder)
    {
        if (files.FolderExists(folder))
        {
            foreach (string file in files.FilesIn(folder))
            {
                files.DeleteFile(file);
            }

            files.DeleteFolder(folder);
        }
    }
}
