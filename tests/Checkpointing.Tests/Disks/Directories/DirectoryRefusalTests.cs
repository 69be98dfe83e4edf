using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Checkpointing.Disks.Directories;
using XenTwoLevelCkpt.NativeInterop.Files;
using Xunit;

namespace XenTwoLevelCkpt.Checkpointing.Tests.Disks.Directories;

/// <summary>What cannot be captured is no image.</summary>
// One at a time: a process that one of them starts has, until it is another program, what the others have open.
[Collection("directories")]
public sealed class DirectoryRefusalTests
{
    [Fact]
    public void A_process_that_works_inside_is_named()
    {
        using DirectoryNode node = new DirectoryNode().Create();
        using (var shell = new Server("/"))
        {
            _ = shell.Do($"cd {node.Data}");
            DiskException e = Assert.Throws<DiskException>(() => node.Checkpoint(Guid.Empty));
            Assert.Contains($"Process {shell.Pid} (bash)", e.Message, StringComparison.Ordinal);
            _ = shell.Do("cd /");
            _ = node.Checkpoint(Guid.Empty);
            _ = shell.Do($"exec 3>{node.Data}/open");
            e = Assert.Throws<DiskException>(() => node.Checkpoint(Guid.Empty));
            Assert.Contains($"Process {shell.Pid} (bash)", e.Message, StringComparison.Ordinal);
            Assert.Contains("in use", Assert.Throws<DiskException>(
                () => node.Directories.Remove(DirectoryNode.Name)).Message, StringComparison.Ordinal);
        }

        using Server one = new(node.Export), two = new(node.Export);
        Assert.Contains("2 guests", Assert.Throws<DiskException>(
            () => node.Checkpoint(Guid.Empty)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_server_that_is_always_at_work_is_not_interrupted()
    {
        using DirectoryNode node = new DirectoryNode { IdleTimeout = TimeSpan.FromSeconds(5) }.Create();
        using var server = new Server(node.Export);
        server.Begin("while :; do :; done");
        IOException e = Assert.Throws<IOException>(() => node.Checkpoint(Guid.Empty));
        Assert.Contains($"Process {server.Pid} was at work", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_layer_that_was_changed_after_its_seal_is_no_image()
    {
        using DirectoryNode node = new DirectoryNode().Create();
        Guid one = node.Checkpoint(Guid.Empty);
        File.WriteAllText($"{node.Data}/file", "1");
        int upper = node.Record.Upper;

        // Clocks of file systems go on by ticks of up to 10 ms.
        DiskException e = Assert.Throws<DiskException>(() => node.Checkpoint(one, () =>
        {
            Thread.Sleep(30);
            File.AppendAllText($"{node.Root}/layers/{upper}/file", "2");
        }));
        Assert.Contains("was changed after it was sealed", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void More_open_than_can_be_copied_is_refused_with_the_guest_running()
    {
        using DirectoryNode node = new DirectoryNode().Create();
        using var server = new Server(node.Export);
        _ = server.Do($"exec 4>{node.Data}/large; truncate -s {DirectoryDisk.MaxCopied + 1} {node.Data}/large");
        using (DirectoryDisk disk = node.OpenDisk())
        {
            disk.Prepare(Guid.NewGuid());
            Assert.SkipWhen(disk.Shares, "This file system shares octets: nothing is copied.");
            Assert.Contains("open to write", Assert.Throws<DiskException>(disk.Seal).Message, StringComparison.Ordinal);
            disk.Abandon();
        }

        Assert.Empty(node.Record.Unwanted);
        _ = server.Do("exec 4>&-");
        _ = node.Checkpoint(Guid.Empty);
    }

    [Theory]
    [InlineData("a b", null, "is no name")]
    [InlineData("e", "/var/tmp/a,b", "cannot be at")]
    [InlineData("e", "/proc", "not empty")]
    [InlineData("d", null, "already")]
    public void A_directory_that_cannot_be_made_is_not(string name, string? at, string message)
    {
        using DirectoryNode node = new DirectoryNode().Create();
        DiskException e = Assert.Throws<DiskException>(
            () => node.Directories.Create(name, at ?? $"{node.Folder}/other"));
        Assert.Contains(message, e.Message, StringComparison.Ordinal);
        _ = Assert.Single(node.Registry.Read().Directories);
    }

    [Fact]
    public void Beside_the_data_nothing_can_be_made()
    {
        using DirectoryNode node = new DirectoryNode().Create();
        Assert.Contains("EROFS", Assert.Throws<IOException>(
            () => RawFiles.MakeDirectory($"{node.Export}/beside")).Message, StringComparison.Ordinal);
        Assert.Equal(["data"], RawFiles.List(node.Export));
    }
}
