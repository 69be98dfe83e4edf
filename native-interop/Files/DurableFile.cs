using System.Runtime.Versioning;

namespace XenTwoLevelCkpt.NativeInterop.Files;

/// <summary>Files that are there as a whole or as they were, also after a power cut.</summary>
[SupportedOSPlatform("linux")]
public static class DurableFile
{
    /// <summary>Replaces a file, or makes it, readable by its owner alone; it is on the device when this returns.</summary>
    /// <param name="path">The file; a file of that name with <c>.tmp</c> behind it is written first.</param>
    /// <param name="write">Writes the contents.</param>
    /// <exception cref="IOException">It could not be written; what was there stands.</exception>
    public static void Replace(string path, Action<Stream> write)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentNullException.ThrowIfNull(write);
        string temporary = path + ".tmp";
        using (var stream = new FileStream(temporary, new FileStreamOptions
        {
            Mode = FileMode.Create,
            Access = FileAccess.Write,
            UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
        }))
        {
            write(stream);
            stream.Flush(flushToDisk: true);
        }

        File.Move(temporary, path, overwrite: true);
        DirectorySync.Flush(Path.GetDirectoryName(Path.GetFullPath(path))!);
    }
}
