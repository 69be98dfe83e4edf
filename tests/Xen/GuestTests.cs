namespace XenTwoLevelCkpt.XenTests;

/// <summary>The guests that judge checkpoints are judged here.</summary>
public sealed class GuestTests
{
    [Fact]
    public async Task A_stepper_survives_save_and_restore_and_notices_a_disk_of_another_moment()
    {
        Lab lab = Lab.Shared;
        const string Name = "judge";
        lab.Do("guest", "1", "create", Name, "--disk", "8", "stepper.pages=256", "stepper.write=32");
        try
        {
            await lab.StepBeyondAsync(1, Name, 10);

            // Saved and gone: memory and disk stay of one moment.
            lab.Exec(1, "xl", "save", Name, "/var/tmp/judge.save");
            long saved = Step.Parse(lab.Log(1, Name))[^1].Number;
            lab.Exec(1, "xl", "restore", "/var/tmp/judge.save");
            await lab.StepBeyondAsync(1, Name, saved + 10);
            Step.AssertWhole(lab.Log(1, Name));

            // Saved and going on: the disk is of a later moment when memory comes back.
            lab.Exec(1, "xl", "save", "-c", Name, "/var/tmp/judge.save");
            long later = Step.Parse(lab.Log(1, Name))[^1].Number;
            await lab.StepBeyondAsync(1, Name, later + 10);
            Step.AssertWhole(lab.Log(1, Name));
            lab.Exec(1, "xl", "destroy", Name);
            lab.Exec(1, "xl", "restore", "/var/tmp/judge.save");
            string broken = await Lab.WaitForAsync(
                () => lab.Log(1, Name).FirstOrDefault(l => l.StartsWith("BROKEN", StringComparison.Ordinal)),
                "the stepper to notice that its disk is newer than its memory");
            Assert.Contains("disk block", broken, StringComparison.Ordinal);
        }
        finally
        {
            lab.Do("guest", "1", "destroy", Name);
            lab.Exec(1, "rm", "-f", "/var/tmp/judge.save");
        }
    }

    [Fact]
    public void Steps_with_one_seed_have_the_same_hashes_on_pv_and_pvh()
    {
        var pvh = Step.Parse(Lab.Shared.Log(1, LabFixture.Pvh)).ToDictionary(s => s.Number, s => s.Hash);
        var pv = Step.Parse(Lab.Shared.Log(1, LabFixture.Pv)).ToDictionary(s => s.Number, s => s.Hash);
        long[] common = [.. pvh.Keys.Intersect(pv.Keys)];
        Assert.True(common.Length >= 10);
        Assert.All(common, n => Assert.Equal(pvh[n], pv[n]));
        Assert.Equal(pvh.Count, pvh.Values.Distinct().Count());
    }
}
