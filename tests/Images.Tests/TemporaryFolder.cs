namespace XenTwoLevelCkpt.Images.Tests;

/// <summary>A folder that a test made and removes.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    internal string Path { get; } = Directory.CreateTempSubdirectory("images-test-").FullName;

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
