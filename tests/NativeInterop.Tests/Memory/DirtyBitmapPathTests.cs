using System.Diagnostics;
using Xunit;

namespace XenTwoLevelCkpt.NativeInterop.Tests.Memory;

/// <summary>Runs the bitmap's tests again on CPUs that lack vector instructions, as the runtime pretends.</summary>
public class DirtyBitmapPathTests
{
    [Theory]
    [InlineData("DOTNET_EnableHWIntrinsic")]
    [InlineData("DOTNET_EnableAVX")]
    [InlineData("DOTNET_EnableAVX2")]
    [InlineData("DOTNET_EnableAVX512")]
    public async Task Passes_without(string instructions)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath!)
        {
            UseShellExecute = false,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        if (Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet")
        {
            start.ArgumentList.Add(typeof(DirtyBitmapPathTests).Assembly.Location);
        }

        start.ArgumentList.Add("-noColor");
        start.ArgumentList.Add("-class");
        start.ArgumentList.Add(typeof(DirtyBitmapTests).FullName!);
        start.Environment[instructions] = "0";

        using Process tests = Process.Start(start)!;
        Task<string> errors = tests.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        string output = await tests.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await tests.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.True(tests.ExitCode == 0, output + await errors);
        Assert.DoesNotContain("Total: 0", output, StringComparison.Ordinal);
    }
}
