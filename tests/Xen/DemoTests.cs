namespace XenTwoLevelCkpt.XenTests;

/// <summary><c>./dev demo</c> as it runs in a Dom0: PVH guests with disks and a PV guest, a chain of checkpoints of all
/// together, two of them restored, one exported for <c>xl restore</c>. The guests judge.</summary>
public sealed class DemoTests
{
    // The other guests would take part of the node's one processor.
    private static readonly string[] Others = [LabFixture.Checksum, LabFixture.Pv, LabFixture.Pvh];

    [Fact]
    public void It_ends_in_ok_and_leaves_nothing()
    {
        Lab lab = Lab.Shared;
        Array.ForEach(Others, o => lab.Exec(1, "xl", "pause", o));
        try
        {
            string script = File.ReadAllText(Path.Combine(Lab.Repository, "scripts", "demo-host.sh"));
            Outcome outcome = lab.TryExec(
                1, "bash", "--norc", "-c", script, "demo-host.sh", "xtlctl", "/var/lib/xtl-lab/guest");
            Assert.True(outcome.ExitCode == 0, $"{outcome}");
            Assert.EndsWith("demo: OK\n", outcome.Output, StringComparison.Ordinal);
            Assert.Contains("6 checkpoints are whole", outcome.Output, StringComparison.Ordinal);
            Assert.Equal("", lab.Exec(
                1, "sh", "-c", "ls -d /var/tmp/xtl-demo*; losetup -a | grep xtl-demo; dmsetup ls | grep xtl; xl list | grep xtldemo; true"));
        }
        finally
        {
            Array.ForEach(Others, o => lab.Exec(1, "xl", "unpause", o));
        }
    }
}
