using System.Globalization;
using XenTwoLevelCkpt.NativeInterop.Threads;
using Xunit;

namespace XenTwoLevelCkpt.NativeInterop.Tests.Threads;

public class UrgentThreadTests
{
    // proc(5): the fields behind the name in brackets begin with the third.
    private static int Niceness
    {
        get
        {
            string stat = File.ReadAllText("/proc/thread-self/stat");
            return int.Parse(stat[(stat.LastIndexOf(')') + 2)..].Split(' ')[19 - 3], CultureInfo.InvariantCulture);
        }
    }

    [Fact]
    public void A_thread_is_urgent_until_it_is_told_otherwise_and_no_other_thread_is()
    {
        Assert.SkipUnless(Environment.IsPrivilegedProcess, "Lower nice values are root's business.");
        using var begun = new SemaphoreSlim(0);
        using var seen = new SemaphoreSlim(0);
        Exception? failure = null;
        int before = Niceness;
        var thread = new Thread(() => failure = Record.Exception(() =>
        {
            int? was = UrgentThread.TryBegin();
            begun.Release();
            Assert.Equal(before, was);
            Assert.Equal(-15, Niceness);
            Assert.Null(UrgentThread.TryBegin());
            seen.Wait(TestContext.Current.CancellationToken);
            UrgentThread.End(was);
            Assert.Equal(before, Niceness);
            UrgentThread.End(null);
            Assert.Equal(before, Niceness);
        }));
        thread.Start();
        begun.Wait(TestContext.Current.CancellationToken);
        int meanwhile = Niceness;
        seen.Release();
        thread.Join();
        Assert.Equal(before, meanwhile);
        Assert.Null(failure);
    }
}
