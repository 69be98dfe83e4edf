using System.Diagnostics;
using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Hypervisor.Model;
using Xunit;

namespace XenTwoLevelCkpt.Checkpointing.Tests;

public class GuardianTests
{
    [Fact]
    public async Task A_guardian_outlives_the_watchdog_of_what_it_guards()
    {
        string state = Directory.CreateTempSubdirectory("xtl-guardian-").FullName;
        var there = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var guarded = new Guarded();
        Task guardian = Task.Run(() => Guardian.Guard(
            state,
            () =>
            {
                there.SetResult();
                return new ModelHypervisor();
            },
            guarded, _ => { }));
        await there.Task;
        foreach (string signal in new[] { "USR1", "HUP" })
        {
            // One that is not ignored ends the tests.
            using Process kill = Process.Start("/bin/kill", [$"-{signal}", $"{Environment.ProcessId}"]);
            await kill.WaitForExitAsync(TestContext.Current.CancellationToken);
        }

        Assert.False(guardian.IsCompleted);
        guarded.End.Release();
        await guardian;
        Directory.Delete(state, recursive: true);
    }

    /// <summary>What the guardian reads while the process that it guards lives.</summary>
    private sealed class Guarded : TextReader
    {
        internal SemaphoreSlim End { get; } = new(0);

        public override string ReadToEnd()
        {
            End.Wait();
            return "";
        }

        protected override void Dispose(bool disposing)
        {
            End.Dispose();
            base.Dispose(disposing);
        }
    }
}
