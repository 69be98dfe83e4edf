namespace XenTwoLevelCkpt.Images.Tests;

/// <summary>A folder that a test made and removes. A store that the test leaves in it is judged by both readers.</summary>
/// <param name="judged">False for stores that the second reader, which keeps every unit, has no memory for.</param>
internal sealed class TemporaryFolder(bool judged = true) : IDisposable
{
    internal string Path { get; } = Directory.CreateTempSubdirectory("images-test-").FullName;

    public void Dispose()
    {
        try
        {
            if (judged)
            {
                Judge.Store(Path);
            }
        }
        finally
        {
            Directory.Delete(Path, recursive: true);
        }
    }
}
