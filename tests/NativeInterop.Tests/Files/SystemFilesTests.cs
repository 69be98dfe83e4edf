using XenTwoLevelCkpt.NativeInterop.Files;
using Xunit;

namespace XenTwoLevelCkpt.NativeInterop.Tests.Files;

public class SystemFilesTests
{
    // These have nothing that could be synced, and say so: EINVAL.
    [Fact]
    public void A_file_that_cannot_be_synced_is_an_error()
    {
        using var stream = new FileStream("/dev/null", FileMode.Open, FileAccess.Write);
        IOException e = Assert.Throws<IOException>(() => SystemFiles.Instance.Sync(stream));
        Assert.Contains("EINVAL", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_directory_that_cannot_be_synced_is_an_error()
    {
        IOException e = Assert.Throws<IOException>(() => DirectorySync.Flush("/proc/self"));
        Assert.Contains("EINVAL", e.Message, StringComparison.Ordinal);
        Assert.Throws<IOException>(() => SystemFiles.Instance.SyncFolder("/proc/self"));
    }

    [Fact]
    public void A_lock_has_one_holder()
    {
        string path = Path.Combine(Directory.CreateTempSubdirectory().FullName, "lock");
        try
        {
            using (IDisposable? first = SystemFiles.Instance.TryLock(path))
            {
                Assert.NotNull(first);
                Assert.Null(SystemFiles.Instance.TryLock(path));
            }

            using IDisposable? again = SystemFiles.Instance.TryLock(path);
            Assert.NotNull(again);
        }
        finally
        {
            Directory.Delete(Path.GetDirectoryName(path)!, recursive: true);
        }
    }

    // A file system that has no such files makes none.
    [Fact]
    public void A_file_that_cannot_be_made_cannot_be_locked() =>
        Assert.Throws<IOException>(() => SystemFiles.Instance.TryLock("/proc/self/lock"));

    [Theory]
    [InlineData("nfs4", "rw,vers=4.2,local_lock=none", null)]
    [InlineData("nfs", "rw,vers=3,nolock,local_lock=all", "nolock")]
    [InlineData("nfs", "rw,vers=3,local_lock=flock", "local_lock=flock")]
    [InlineData("nfs", "rw,vers=3,local_lock=posix", null)]
    [InlineData("ext4", "rw,nolock", null)]
    public void Locks_that_stay_on_this_host_are_none(string type, string options, string? why) =>
        Assert.Equal(why, SystemFiles.LocksAreLocal(new MountInfo("/srv", type, options)));
}
