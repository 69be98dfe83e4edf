namespace XenTwoLevelCkpt.Simulator;

/// <summary>Writes files that are there whole or not at all.</summary>
internal static class OutputFiles
{
    /// <summary>Writes a text.</summary>
    /// <param name="path">The file.</param>
    /// <param name="text">Its content.</param>
    internal static void Write(string path, string text) => WriteStream(path, stream =>
    {
        using var writer = new StreamWriter(stream, leaveOpen: true);
        writer.Write(text);
    });

    /// <summary>Writes under a temporary name and renames.</summary>
    /// <param name="path">The file.</param>
    /// <param name="write">Writes the content.</param>
    internal static void WriteStream(string path, Action<Stream> write)
    {
        string temporary = $"{path}.{Environment.ProcessId}.tmp";
        try
        {
            using (var stream = new FileStream(temporary, FileMode.Create, FileAccess.Write, FileShare.None, 1 << 16))
            {
                write(stream);
            }

            File.Move(temporary, path, overwrite: true);
        }
        finally
        {
            File.Delete(temporary);
        }
    }
}
