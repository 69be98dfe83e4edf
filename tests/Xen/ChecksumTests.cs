namespace XenTwoLevelCkpt.XenTests;

/// <summary>A guest that checks every word of its buffer in every step, through all the other tests.</summary>
public sealed class ChecksumTests
{
    [Fact]
    public async Task Memory_is_whole_for_three_minutes()
    {
        Lab lab = Lab.Shared;
        Step last = await Lab.WaitForAsync(
            () =>
            {
                string[] log = lab.Log(1, LabFixture.Checksum);
                Step.AssertWhole(log);
                var steps = Step.Parse(log);
                return steps[^1].Milliseconds - steps[0].Milliseconds >= 180_000 ? steps[^1] : null;
            },
            "three minutes of the guest's time", limitSeconds: 600);
        TestContext.Current.SendDiagnosticMessage($"{last.Number} steps, {last.Pages} pages");
        Assert.Equal([.. Enumerable.Range(1, (int)last.Number)], Step.Parse(lab.Log(1, LabFixture.Checksum)).Take((int)last.Number).Select(s => (int)s.Number));
    }
}
