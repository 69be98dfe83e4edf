namespace XenTwoLevelCkpt.NativeInterop.Files;

/// <summary>Files that are there as a whole or as they were, also after a power cut.</summary>
public static class DurableFile
{
    /// <summary>Replaces a file, or makes it, readable by its owner alone; it is on the device when this returns.</summary>
    /// <param name="path">The file; a file of that name with <c>.tmp</c> behind it is written first.</param>
    /// <param name="write">Writes the contents.</param>
    /// <exception cref="IOException">It could not be written; what was there stands.</exception>
    public static void Replace(string path, Action<Stream> write) => Replace(SystemFiles.Instance, path, write);

    /// <summary>As <see cref="Replace(string, Action{Stream})"/>, on other files.</summary>
    /// <param name="files">The files.</param>
    /// <param name="path">The file.</param>
    /// <param name="write">Writes the contents.</param>
    /// <exception cref="IOException">It could not be written; what was there stands.</exception>
    public static void Replace(IFileLayer files, string path, Action<Stream> write)
    {
        ArgumentNullException.ThrowIfNull(files);
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentNullException.ThrowIfNull(write);
        string temporary = path + ".tmp";
        using (Stream stream = files.Create(temporary))
        {
            write(stream);
            files.Sync(stream);
        }

        files.MoveFile(temporary, path);
        files.SyncFolder(Path.GetDirectoryName(Path.GetFullPath(path))!);
    }
}
