namespace XenTwoLevelCkpt.Simulator;

/// <summary>Writes files that are there whole or not at all.</summary>
internal static class OutputFiles
{
    /// <summary>Writes a file under a temporary name and renames it.</summary>
    /// <param name="path">The file.</param>
    /// <param name="text">Its content.</param>
    internal static void Write(string path, string text)
    {
        string temporary = $"{path}.{Environment.ProcessId}.tmp";
        try
        {
            File.WriteAllText(temporary, text);
            File.Move(temporary, path, overwrite: true);
        }
        finally
        {
            File.Delete(temporary);
        }
    }
}
