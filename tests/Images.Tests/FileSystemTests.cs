using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Images.Tests.Files;
using XenTwoLevelCkpt.Images.Verification;
using Xunit;

namespace XenTwoLevelCkpt.Images.Tests;

/// <summary>File systems that cannot do all, or do it otherwise: NFS, SMB, FUSE.</summary>
public class FileSystemTests
{
    private const string Root = "/store";
    private const int Stale = 116;

    [Theory]
    [InlineData("sync folder", "sync a directory")]
    [InlineData("sync", "sync a file")]
    [InlineData("move", "rename a file over another")]
    [InlineData("create", "make and write a file")]
    [InlineData("make folder", "make a directory")]
    [InlineData("delete", "remove a directory")]
    public void What_a_file_system_cannot_do_is_found_when_the_store_is_opened(string call, string told)
    {
        var files = new LosingFiles();
        DirectoryStore.Open(Root, files).Dispose();
        files.Before = (what, path) =>
        {
            if (what == call && path != Root)
            {
                throw new IOException("Operation not supported", 95);
            }
        };
        if (call == "sync folder")
        {
            // Of the store's own directory, too.
            files.Before = (what, _) =>
            {
                if (what == call)
                {
                    throw new IOException("Invalid argument", 22);
                }
            };
        }

        IOException e = Assert.Throws<IOException>(() => DirectoryStore.Open(Root, files));
        Assert.Contains($"does not {told}", e.Message, StringComparison.Ordinal);
        Assert.Contains("NFS version 4", e.Message, StringComparison.Ordinal);

        // The lock is free, and nothing is left in the way.
        files.Before = null;
        using var again = DirectoryStore.Open(Root, files);
        _ = StoreSample.Add(again, Guid.Empty, 1);
        Assert.Single(files.FoldersIn(Root));
    }

    [Fact]
    public void A_rename_that_does_not_replace_is_found()
    {
        var files = new LosingFiles();
        files.Before = (what, path) =>
        {
            if (what == "move" && path.EndsWith("/a", StringComparison.Ordinal))
            {
                throw new IOException("File exists", 17);
            }
        };
        IOException e = Assert.Throws<IOException>(() => DirectoryStore.Open(Root, files));
        Assert.Contains("rename a file over another", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_full_file_system_is_opened_to_make_room()
    {
        var files = new LosingFiles();
        using (var store = DirectoryStore.Open(Root, files))
        {
            _ = ChainTests.Three(store);
        }

        files.Capacity = files.Used;
        using var again = DirectoryStore.Open(Root, files);
        Assert.Equal(3, again.Checkpoints.Count);
        Assert.True(again.Remove(3));
    }

    // What a client of NFS puts in the place of a file that a reader has open.
    [Fact]
    public void What_is_held_for_a_reader_is_in_nobodys_way_and_goes_later()
    {
        using var folder = new TemporaryFolder();
        string held;
        using (var store = DirectoryStore.Open(folder.Path))
        {
            _ = ChainTests.Three(store);
            held = Path.Combine(store.FolderOf(3), ".nfs000000000123");
            File.WriteAllText(held, "held");
            Assert.True(store.Remove(3));
            Assert.Equal(2, store.Checkpoints.Count);
        }

        string garbage = Path.Combine(folder.Path, $"{3:D20}.del");
        Assert.Equal([Path.Combine(garbage, ".nfs000000000123")], Directory.GetFiles(garbage));
        using (var again = DirectoryStore.Open(folder.Path))
        {
            Assert.Empty(again.Recovered);
            Assert.Equal(2, again.Checkpoints.Count);
            CheckpointManifest next = StoreSample.Add(again, Guid.Empty, 3);

            // The name that the folder would have when it is removed is taken.
            Assert.Equal(4UL, next.Epoch);
            Assert.True(again.Remove(4));
            Assert.Equal(2, again.Checkpoints.Count);
        }

        Directory.GetFiles(folder.Path, ".nfs*", SearchOption.AllDirectories).ToList().ForEach(File.Delete);
        using var last = DirectoryStore.Open(folder.Path);
        Assert.Equal(2, Directory.GetDirectories(folder.Path).Length);
    }

    [Fact]
    public void A_handle_that_was_lost_is_opened_again()
    {
        var files = new LosingFiles();
        using var store = DirectoryStore.Open(Root, files);
        CheckpointManifest[] all = ChainTests.Three(store);
        MemoryModel expected = StoreSample.State(store, all[2].Id);
        int read = 0, lost = 0;
        files.BeforeRead = _ =>
        {
            if (++read % 3 == 0)
            {
                lost++;
                throw new IOException("Stale file handle", Stale);
            }
        };
        using var reader = DirectoryStore.OpenReadOnly(Root, files);
        Assert.Equal(3, reader.Checkpoints.Count);
        expected.AssertSame(StoreSample.State(reader, all[2].Id));
        Assert.Empty(Verifier.VerifyStore(reader));
        Assert.True(lost > 5);

        // One that is lost each time is an error, and not forever.
        files.BeforeRead = _ => throw new IOException("Stale file handle", Stale);
        Assert.Throws<IOException>(() => Chain.Open(reader, all[2].Id, Sample.Domain, ImageContent.Memory));
    }

    [Fact]
    public void A_second_writer_is_refused()
    {
        var files = new LosingFiles();
        using (DirectoryStore.Open(Root, files))
        {
            Assert.Throws<StoreLockedException>(() => DirectoryStore.Open(Root, files));
        }

        DirectoryStore.Open(Root, files).Dispose();
    }
}
