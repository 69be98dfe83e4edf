using System.Diagnostics;
using XenTwoLevelCkpt.Hypervisor.Xen;
using XenTwoLevelCkpt.NativeInterop.Processes;
using Xunit;

namespace XenTwoLevelCkpt.Hypervisor.Tests;

/// <summary>How <c>xl</c> is run, with stand-ins for it: it needs no Xen.</summary>
public sealed class XlTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("xtl-xl-").FullName;

    [Fact]
    public void A_command_that_does_not_end_is_ended_and_named()
    {
        string pid = Path.Combine(_folder, "pid");
        HypervisorException e = Assert.Throws<HypervisorException>(() => XlCommand.Run(
            "/bin/sh", TimeSpan.FromMilliseconds(300), "-c", $"echo $$ > {pid}; exec sleep 1000"));
        Assert.Contains("did not end within", e.Message, StringComparison.Ordinal);
        int id = int.Parse(File.ReadAllText(pid), System.Globalization.CultureInfo.InvariantCulture);
        Until(() => ProcessIdentity.Of(id) is null);
    }

    [Fact]
    public void A_command_that_is_given_up_is_ended()
    {
        string pid = Path.Combine(_folder, "pid");
        using var giveUp = new CancellationTokenSource();
        Task command = Task.Run(
            () => XlCommand.Run(
                "/bin/sh", XlCommand.Limit, giveUp.Token, "-c", $"echo $$ > {pid}.new; mv {pid}.new {pid}; exec sleep 1000"),
            TestContext.Current.CancellationToken);
        Until(() => File.Exists(pid));
        giveUp.Cancel();
        Assert.ThrowsAny<OperationCanceledException>(() => command.GetAwaiter().GetResult());
        int id = int.Parse(File.ReadAllText(pid), System.Globalization.CultureInfo.InvariantCulture);
        Until(() => ProcessIdentity.Of(id) is null);
    }

    [Theory]
    [InlineData(true, DomainStates.Blocked, 5, false)]
    [InlineData(false, DomainStates.Blocked, 5, true)]
    [InlineData(false, DomainStates.Running, 5, true)]
    [InlineData(false, DomainStates.Paused, 5, false)]
    [InlineData(false, DomainStates.Blocked, 0, false)]
    [InlineData(false, DomainStates.Dying, 5, false)]
    public void A_domain_that_runs_and_that_xenstored_does_not_know_is_forgotten(
        bool known, DomainStates state, int seconds, bool forgotten)
    {
        var domain = new DomainInfo(
            7, Guid.NewGuid(), "seven", GuestKind.Pvh, state, null, 1, 1, 1, TimeSpan.FromSeconds(seconds));
        Assert.Equal(forgotten, XenDomain.IsForgotten(domain, known));
    }

    [Fact]
    public void A_command_whose_child_holds_its_output_open_is_ended_too()
    {
        HypervisorException e = Assert.Throws<HypervisorException>(() => XlCommand.Run(
            "/bin/sh", TimeSpan.FromMilliseconds(300), "-c", "sleep 5 & exit 0"));
        Assert.Contains("did not end within", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void What_a_command_says_is_what_it_printed()
    {
        Assert.Equal("one\n", XlCommand.Run("/bin/sh", XlCommand.Limit, "-c", "echo one; echo two >&2"));
        HypervisorException e = Assert.Throws<HypervisorException>(() => XlCommand.Run(
            "/bin/sh", XlCommand.Limit, "-c", "echo 'libxl: error: no such bridge' >&2; exit 3"));
        Assert.Contains("exit code 3: libxl: error: no such bridge", e.Message, StringComparison.Ordinal);
    }

    // Abridged from what xl restore prints where a bridge is missing.
    [Fact]
    public void The_cause_is_told_wherever_it_stands()
    {
        string[] lines =
        [
            "Loading new save file /proc/self/fd/0 (new xl fmt info 0x3/0x0/1386)", " Savefile contains xl domain config in JSON format",
            "Parsing config from <saved>", "xc: info: Found x86 HVM domain from Xen 4.17", "xc: info: Restoring domain",
            "xc: info: Restore successful", "xc: info: XenStore: mfn 0xfeffc, dom 0, evt 1", "xc: info: Console: mfn 0xfefff",
            "libxl: error: libxl_exec.c:117: bridge br7 does not exist!", "libxl: error: domain 7: unable to add vif devices",
            "libxl: error: Domain 7: Non-existent domain", "libxl: error: Domain 7: Unable to destroy guest", "x", "y", "z", "Domain 7: gone",
        ];
        string told = XlCommand.Telling(string.Join('\n', lines));
        Assert.Contains("bridge br7 does not exist!", told, StringComparison.Ordinal);
        Assert.EndsWith("Domain 7: gone", told, StringComparison.Ordinal);
        Assert.DoesNotContain("Loading new save file", told, StringComparison.Ordinal);
    }

    [Fact]
    public void The_toolstacks_processes_that_wait_are_found_and_stopped_and_go_on()
    {
        string program = Path.Combine(_folder, "xl");
        File.Copy("/bin/sleep", program);
        using Process waits = Start($"exec {program} 1000 > {_folder}/xl-guest.log");

        // In the foreground of a service, as 'xl create -F' under systemd.
        string foreground = Path.Combine(_folder, "foreground");
        _ = Directory.CreateDirectory(foreground);
        File.WriteAllText(Path.Combine(foreground, "create"), "");
        File.Copy("/usr/bin/tail", Path.Combine(foreground, "xl"));
        using Process creates = Start($"cd {foreground}; exec setsid --wait ./xl -f create > /dev/null");
        using Process lists = Start($"exec {program} 1000 > {_folder}/other.log");
        try
        {
            ProcessIdentity? found = null;
            Until(() => (found = XlMonitors.Find().Cast<ProcessIdentity?>().FirstOrDefault(p => p!.Value.Id == waits.Id)) is not null);
            Assert.DoesNotContain(XlMonitors.Find(), p => p.Id == lists.Id);
            ProcessIdentity? service = null;
            Until(() => (service = XlMonitors.Find().Cast<ProcessIdentity?>().FirstOrDefault(p => IsIn(foreground, p!.Value.Id))) is not null);
            using Process inForeground = Process.GetProcessById(service!.Value.Id);
            inForeground.Kill();

            Assert.True(found!.Value.Stop());
            Until(() => found.Value.IsStopped);
            Assert.DoesNotContain(XlMonitors.Find(), p => p.Id == waits.Id);

            // The number of a process that has ended may be another's.
            Assert.False(new ProcessIdentity(waits.Id, found.Value.StartTime + 1).Continue());
            Assert.True(found.Value.IsStopped);
            Assert.True(found.Value.Continue());
            Until(() => !found.Value.IsStopped);
        }
        finally
        {
            waits.Kill();
            lists.Kill();
            creates.Kill(entireProcessTree: true);
        }

        waits.WaitForExit();
        Assert.False(new ProcessIdentity(waits.Id, 0).Stop());
    }

    [Fact]
    public void What_a_guest_needs_later_is_started_outside_of_the_daemons_service()
    {
        (string program, string[] arguments) = OwnScope.Around("xl", ["restore", "-p", "a b"], booted: true);
        Assert.Equal("systemd-run", program);
        Assert.Contains("--scope", arguments);
        (program, arguments) = OwnScope.Around("/bin/echo", ["restore", "a b"], booted: false);
        Assert.Equal("restore a b\n", XlCommand.Run(program, XlCommand.Limit, arguments));
        (program, arguments) = OwnScope.Around("/bin/sh", ["-c", "cat /proc/self/oom_score_adj; umask"], booted: false);
        Assert.Equal("0\n0022\n", XlCommand.Run(program, XlCommand.Limit, arguments));
    }

    private static bool IsIn(string folder, int process) => new FileInfo($"/proc/{process}/cwd").LinkTarget == folder;

    // What hangs is found, not measured.
    private static void Until(Func<bool> condition)
    {
        for (int i = 0; i < 6000 && !condition(); i++)
        {
            Thread.Sleep(10);
        }

        Assert.True(condition());
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static Process Start(string command) => Process.Start(new ProcessStartInfo("/bin/sh", ["-c", command]))!;
}
