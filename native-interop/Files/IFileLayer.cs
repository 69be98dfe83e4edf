namespace XenTwoLevelCkpt.NativeInterop.Files;

/// <summary>What durable files need of a file system: <see cref="SystemFiles"/>, or one of a test that loses what was not
/// synced, or is full.</summary>
/// <remarks>A name is on the device when its directory was synced, what a file holds when the file was. Errors are those of
/// .NET's files: <see cref="FileNotFoundException"/> and <see cref="DirectoryNotFoundException"/> where something is not
/// there, <see cref="UnauthorizedAccessException"/>, and <see cref="IOException"/>.</remarks>
public interface IFileLayer
{
    /// <summary>Makes a directory, and those above it, for their owner alone; nothing where it is there.</summary>
    /// <param name="path">The directory.</param>
    void MakeFolder(string path);

    /// <summary>Makes an empty file for its owner alone, in the place of one that is there.</summary>
    /// <param name="path">The file.</param>
    /// <returns>An unbuffered stream to write it, which tells its length.</returns>
    Stream Create(string path);

    /// <summary>Waits until what was written to a file is on the device.</summary>
    /// <param name="stream">A stream of <see cref="Create"/>.</param>
    /// <exception cref="IOException">It is not.</exception>
    void Sync(Stream stream);

    /// <summary>Opens a file to read it.</summary>
    /// <param name="path">The file.</param>
    /// <returns>A stream that seeks.</returns>
    Stream OpenRead(string path);

    /// <summary>True where there is such a directory.</summary>
    /// <param name="path">The directory.</param>
    bool FolderExists(string path);

    /// <summary>The paths of the files in a directory.</summary>
    /// <param name="path">The directory.</param>
    IReadOnlyList<string> FilesIn(string path);

    /// <summary>The paths of the directories in a directory.</summary>
    /// <param name="path">The directory.</param>
    IReadOnlyList<string> FoldersIn(string path);

    /// <summary>Moves a file, and replaces what has the name.</summary>
    /// <param name="from">The file.</param>
    /// <param name="to">Its new path, in the same file system.</param>
    void MoveFile(string from, string to);

    /// <summary>Moves a directory to where nothing is.</summary>
    /// <param name="from">The directory.</param>
    /// <param name="to">Its new path, in the same file system.</param>
    void MoveFolder(string from, string to);

    /// <summary>Removes a file; nothing where it is not there.</summary>
    /// <param name="path">The file.</param>
    void DeleteFile(string path);

    /// <summary>Removes an empty directory.</summary>
    /// <param name="path">The directory.</param>
    void DeleteFolder(string path);

    /// <summary>Waits until the names in a directory are on the device.</summary>
    /// <param name="path">The directory.</param>
    void SyncFolder(string path);

    /// <summary>Locks a file, which is made where it is not there, against all other processes that do the same.</summary>
    /// <param name="path">The file.</param>
    /// <returns>The lock, until it is disposed or the process ends; null where somebody has it.</returns>
    /// <exception cref="IOException">The file system has no locks, or they are not for others who mounted it.</exception>
    IDisposable? TryLock(string path);

    /// <summary>Octets that may still be written to the file system of a directory; null where it does not say.</summary>
    /// <param name="path">The directory.</param>
    long? FreeBytes(string path);
}
