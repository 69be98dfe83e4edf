using System.Diagnostics;
using System.Text;
using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.NativeInterop.Files;
using Xunit;

namespace XenTwoLevelCkpt.Checkpointing.Tests.Disks.Directories;

/// <summary>Layers as streams.</summary>
// One at a time: a process that one of them starts has, until it is another program, what the others have open.
[Collection("directories")]
public sealed class LayerStreamTests : IDisposable
{
    private readonly string _folder;

    public LayerStreamTests()
    {
        Assert.SkipUnless(Environment.IsPrivilegedProcess, "Owners and device nodes are root's.");
        _folder = Directory.CreateTempSubdirectory("xtl-layer-").FullName;
        Samples.Fill(Source);
    }

    private string Source => $"{_folder}/source";

    private string Target => $"{_folder}/target";

    public void Dispose() => RawFiles.RemoveTree(_folder);

    [Theory]
    [InlineData(1)]
    [InlineData(511)]
    [InlineData(1 << 20)]
    public void A_tree_comes_back_as_it_was(int piece)
    {
        RawFiles.MakeNode($"{Source}/hidden", RawFileType.CharacterDevice);
        RawAttributes.Set($"{Source}/sub", "trusted.overlay.opaque", "y"u8);
        RawFiles.SetModified(Source, new RawTime(9, 9));
        Archive.Extract(Archive.Of(Source), Target, piece);
        Assert.Equal(Tree.Describe(Source), Tree.Describe(Target));
    }

    [Fact]
    public void Of_one_tree_there_is_one_stream_and_nothing_of_the_host_in_it()
    {
        byte[] first = Archive.Of(Source);
        RawAttributes.Set($"{Source}/owned", "trusted.overlay.origin", [1, 2]);
        Assert.Equal(first, Archive.Of(Source));
        Archive.Extract(first, Target);
        Assert.Equal(first, Archive.Of(Target));
    }

    [Fact]
    public void Tar_reads_it()
    {
        string file = $"{_folder}/layer.tar";
        File.WriteAllBytes(file, Archive.Of(Source));
        RawFiles.MakeDirectory(Target);
        using Process tar = Process.Start("/bin/tar", [
            "-C", Target, "--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf", file]);
        tar.WaitForExit();
        Assert.Equal(0, tar.ExitCode);

        // An archive has no type for sockets.
        Assert.Equal(
            Tree.Describe(Source).Where(l => !l.StartsWith("socket ", StringComparison.Ordinal)),
            Tree.Describe(Target).Where(l => !l.StartsWith("socket ", StringComparison.Ordinal)));
    }

    [Fact]
    public void A_stream_that_was_cut_is_no_layer()
    {
        byte[] archive = Archive.Of(Source);
        for (int length = 0, i = 0; length < archive.Length; length += 1 + (archive.Length / 150), i++)
        {
            _ = Assert.Throws<DiskException>(() => Archive.Extract(archive[..length], $"{Target}{i}"));
        }

        _ = Assert.Throws<DiskException>(() => Archive.Extract([.. archive, .. new byte[512]], Target));
    }

    [Theory]
    [InlineData("/etc/x")]
    [InlineData("../x")]
    [InlineData("sub/../../x")]
    [InlineData("link/x")]
    [InlineData("owned/x")]
    [InlineData("sub//x")]
    [InlineData("")]
    public void A_name_that_leads_out_of_the_tree_is_refused(string name)
    {
        string right = $"sub/{new string('p', 60)}";
        Samples.Write($"{Source}/{right}", []);
        byte[] archive = Archive.Of(Source), wanted = Record("path", right), replaced = Record("path", name);

        // A comment fills what is left, so that all lengths stay.
        int at = archive.AsSpan().IndexOf(wanted), room = wanted.Length - replaced.Length;
        replaced.CopyTo(archive, at);
        Encoding.Latin1.GetBytes($"{room} c={new string('x', room - 6)}\n").CopyTo(archive, at + replaced.Length);

        DiskException e = Assert.Throws<DiskException>(() => Archive.Extract(archive, Target));
        Assert.Contains("came before", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void What_a_mount_of_this_software_does_not_make_is_refused()
    {
        RawAttributes.Set($"{Source}/sub", "trusted.overlay.redirect", "/x"u8);
        Assert.Contains("trusted.overlay.redirect", Assert.Throws<DiskException>(() => Archive.Of(Source)).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Holes_are_holes_again()
    {
        using (Microsoft.Win32.SafeHandles.SafeFileHandle file = RawFiles.Create($"{Source}/sparse"))
        {
            RandomAccess.Write(file, "x"u8, (8 << 20) - 1);
        }

        Archive.Extract(Archive.Of(Source), Target);
        Assert.Equal(Tree.Describe(Source), Tree.Describe(Target));
        Assert.InRange(RawFiles.Stat($"{Target}/sparse").Allocated, 1, 1 << 20);
    }

    private static byte[] Record(string keyword, string value)
    {
        int rest = keyword.Length + value.Length + 3;
        return Encoding.Latin1.GetBytes($"{rest + (rest + 1 > 9 ? 2 : 1)} {keyword}={value}\n");
    }
}
