using System.Diagnostics;
using Microsoft.Win32.SafeHandles;
using XenTwoLevelCkpt.NativeInterop.Files;
using Xunit;

namespace XenTwoLevelCkpt.NativeInterop.Tests.Files;

public sealed class RawFilesTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("xtl-raw-").FullName;

    public void Dispose() => RawFiles.RemoveTree(_folder);

    [Fact]
    public void A_name_that_is_no_text_comes_through()
    {
        string path = $"{_folder}/\xff\x80";
        RawFiles.Create(path).Dispose();
        Assert.Equal(["\xff\x80"], RawFiles.List(_folder));
        Assert.Equal(RawFileType.Regular, RawFiles.Stat(path).Type);
        Assert.Equal("ä", RawPath.ToText(RawPath.From("ä")));
        Assert.Equal(2, RawPath.From("ä").Length);
        Assert.Null(RawFiles.TryStat($"{_folder}/none"));
        Assert.Null(RawFiles.TryStat($"{path}/none"));
    }

    [Fact]
    public void All_names_of_a_large_directory_are_listed_in_order()
    {
        string[] names = [.. Enumerable.Range(0, 3000).Select(i => $"{i:D4}{new string('x', 60)}")];
        Array.ForEach(names, n => RawFiles.Create($"{_folder}/{n}").Dispose());
        Assert.Equal(names, RawFiles.List(_folder));
    }

    [Fact]
    public void A_path_that_is_too_long_is_an_error() =>
        Assert.Throws<PathTooLongException>(() => RawFiles.TryStat(new string('x', RawPath.MaxLength)));

    [Fact]
    public void Links_owners_times_and_attributes_are_what_was_set()
    {
        string file = $"{_folder}/file", link = $"{_folder}/link";
        RawFiles.Create(file).Dispose();
        RawFiles.Link(file, $"{_folder}/second");
        RawFiles.MakeSymlink("nowhere", link);
        RawFiles.SetPermissions(file, 2541);
        RawFiles.SetModified(file, new RawTime(-3, 7));
        RawFiles.SetModified(link, new RawTime(5, 999_999_999));
        RawStat stat = RawFiles.Stat($"{_folder}/second");
        Assert.Equal((2u, 2541, new RawTime(-3, 7)), (stat.Links, stat.Permissions, stat.Modified));
        Assert.Equal("nowhere", RawFiles.ReadSymlink(link));
        Assert.Equal(new RawTime(5, 999_999_999), RawFiles.Stat(link).Modified);
        RawAttributes.Set(file, "user.b", []);
        RawAttributes.Set(file, "user.a", [0, 255]);
        Assert.Equal(["user.a", "user.b"], RawAttributes.Read(file).Select(a => a.Name));
        Assert.Equal([0, 255], RawAttributes.Read(file)[0].Value);
        RawAttributes.Remove(file, "user.a");
        Assert.Equal(["user.b"], RawAttributes.Read(file).Select(a => a.Name));
        Assert.Throws<IOException>(() => RawFiles.OpenToRead(link));
        Assert.Throws<IOException>(() => RawFiles.Create(file));
    }

    [Fact]
    public void A_device_node_has_the_numbers_that_it_was_given()
    {
        Assert.SkipUnless(Environment.IsPrivilegedProcess, "Device nodes are root's.");
        RawFiles.MakeNode($"{_folder}/node", RawFileType.BlockDevice, (4095, 1_000_000));
        Assert.Equal((4095u, 1_000_000u), RawFiles.Stat($"{_folder}/node").Device);
    }

    [Fact]
    public void It_is_told_whether_somebody_may_write_a_file()
    {
        string path = $"{_folder}/file";
        SafeFileHandle writer = RawFiles.Create(path);
        using SafeFileHandle reader = RawFiles.OpenToRead(path);
        Assert.True(FileContents.IsOpenToWrite(reader));
        writer.Dispose();

        // A process that another test starts just now has the descriptor, too, until it is another program.
        Assert.True(SpinWait.SpinUntil(() => !FileContents.IsOpenToWrite(reader), TimeSpan.FromMinutes(2)));
        Assert.False(FileContents.IsOpenToWrite(reader));
    }

    [Fact]
    public void A_held_process_stands_still_and_goes_on_when_its_holder_ends()
    {
        using Process shell = Process.Start(new ProcessStartInfo(
            "/usr/bin/setsid", ["--fork", "/bin/sh", "-c", "echo $$; while read line; do echo \"$line\"; done"])
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        })!;
        int pid = int.Parse(shell.StandardOutput.ReadLine()!, System.Globalization.CultureInfo.InvariantCulture);
        string State() => File.ReadAllText($"/proc/{pid}/stat").Split(' ')[2];
        using (HeldProcess.WhenIdle(pid, TimeSpan.FromMinutes(2)))
        {
            shell.StandardInput.WriteLine("one");
            shell.StandardInput.Flush();
            Assert.Equal("t", State());
            Assert.Contains("held", Assert.Throws<IOException>(
                () => HeldProcess.WhenIdle(pid, TimeSpan.Zero)).Message, StringComparison.Ordinal);
        }

        Assert.Equal("one", shell.StandardOutput.ReadLine());

        // A thread that ends without letting it go.
        var holder = new Thread(() => _ = HeldProcess.WhenIdle(pid, TimeSpan.FromMinutes(2)));
        holder.Start();
        holder.Join();
        shell.StandardInput.WriteLine("two");
        shell.StandardInput.Flush();
        Assert.Equal("two", shell.StandardOutput.ReadLine());
        shell.StandardInput.Close();
        Assert.Null(shell.StandardOutput.ReadLine());
    }
}
