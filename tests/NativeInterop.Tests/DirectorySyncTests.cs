using XenTwoLevelCkpt.NativeInterop.Files;
using Xunit;

namespace XenTwoLevelCkpt.NativeInterop.Tests;

public class DirectorySyncTests
{
    [Fact]
    public void A_directory_is_synced_and_its_descriptor_closed()
    {
        string path = Directory.CreateTempSubdirectory().FullName;
        try
        {
            int before = OpenDescriptors(path);
            for (int i = 0; i < 10; i++)
            {
                DirectorySync.Flush(path);
            }

            Assert.Equal(before, OpenDescriptors(path));
        }
        finally
        {
            Directory.Delete(path);
        }
    }

    [Fact]
    public void A_directory_that_does_not_exist_is_named()
    {
        DirectoryNotFoundException e =
            Assert.Throws<DirectoryNotFoundException>(() => DirectorySync.Flush("/nonexistent/directory"));
        Assert.Contains("/nonexistent/directory", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_is_no_directory()
    {
        IOException e = Assert.Throws<IOException>(() => DirectorySync.Flush("/etc/passwd"));
        Assert.Contains("ENOTDIR", e.Message, StringComparison.Ordinal);
    }

    private static int OpenDescriptors(string path) => Directory.GetFileSystemEntries("/proc/self/fd")
        .Count(f => new FileInfo(f).LinkTarget == path);
}
