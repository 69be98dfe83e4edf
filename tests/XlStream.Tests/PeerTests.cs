using System.Diagnostics;
using System.Text.RegularExpressions;
using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.XlStream.Tests;

/// <summary>Xen's own verify-stream-v2 (in Debian's xen-utils) judges what the writer writes.</summary>
public class PeerTests
{
    private static readonly string? Script = Environment.GetEnvironmentVariable("XTL_VERIFY_STREAM");

    public PeerTests() => Assert.SkipWhen(
        string.IsNullOrEmpty(Script), "XTL_VERIFY_STREAM is not set: the path of Xen's verify-stream-v2.");

    public static TheoryData<XlGuestKind> Kinds => new(XlGuestKind.Pv, XlGuestKind.Hvm);

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Xen_finds_the_small_file_right(XlGuestKind kind)
    {
        (int code, string output) = Verify(Sample.Small(kind), "xl");
        Assert.True(code == 0, output);
        string[] expected = kind == XlGuestKind.Pv
            ?
            [
                "Libxl: Libxc context", "Domain: x86 PV from Xen 4.17", "x86 PV info", "x86 CPUID policy",
                "x86 MSR policy", "Static data end", "x86 PV P2M frames", "TSC info", "Shared info",
                "x86 PV vcpu basic", "x86 PV vcpu extended", "x86 PV vcpu xsave", "x86 PV vcpu msrs",
                "x86 PV vcpu basic", "End", "Libxl: End",
            ]
            :
            [
                "Libxl: Libxc context", "Domain: x86 HVM from Xen 4.17", "x86 CPUID policy", "x86 MSR policy",
                "Static data end", "TSC info", "HVM params", "HVM context", "End", "Libxl: End",
            ];
        Assert.Equal(expected, Summary(output));
        Assert.Contains("Squashed 2 Page Data records", output, StringComparison.Ordinal);
        Assert.Contains(
            $"Mode 2, 2600000 kHz, {0x1122334455667788} ns, incarnation 3", output, StringComparison.Ordinal);
        if (kind == XlGuestKind.Pv)
        {
            Assert.Contains("64bit guest, 4 levels of pagetables", output, StringComparison.Ordinal);
            Assert.Contains("Start pfn 0x0, End 0x1f40", output, StringComparison.Ordinal);
            Assert.Contains("vcpu0 msrs context, 48 bytes", output, StringComparison.Ordinal);
            Assert.Contains("vcpu1 basic context, 5168 bytes", output, StringComparison.Ordinal);
        }
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Xen_finds_many_pages_right(XlGuestKind kind)
    {
        byte[] data = Sample.Bytes(1, 2500 * Sample.Page);
        byte[] file = Sample.Write(kind, writer =>
        {
            writer.WritePages([new PfnRun(0, 1023), new PfnRun(1024, 1), new PfnRun(2000, 1476)], data);
            writer.WritePages([new PfnRun(0, 1024)], data.AsSpan(0, 1024 * Sample.Page));
            long[] pfns = [.. Enumerable.Range(0, 1500).Select(i => (long)i)];
            XlPageType[] types =
                [.. pfns.Select(p => p % 3 == 0 ? XlPageType.Normal : XlPageType.AllocateOnly + (byte)(p % 2))];
            writer.WritePages(pfns, types, data.AsSpan(0, 500 * Sample.Page));
        });
        (int code, string output) = Verify(file, "xl");
        Assert.True(code == 0, output);
        Assert.Contains("Squashed 6 Page Data records", output, StringComparison.Ordinal);

        (code, output) = Verify(file[Layout.LibxcStart(file)..^8], "libxc");
        Assert.True(code == 0, output);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(8)]
    [InlineData(12)]
    public void Xen_finds_a_guest_without_pages_and_params_right(int context)
    {
        var stream = new MemoryStream();
        XlHvmState state = Sample.Hvm with
        {
            CpuidPolicy = default,
            MsrPolicy = default,
            HvmParams = new Dictionary<uint, ulong>(),
            HvmContext = Sample.Bytes(1, context),
        };
        XlStreamWriter.Start(stream, Sample.Domain(XlGuestKind.Hvm), state).Complete();
        (int code, string output) = Verify(stream.ToArray(), "xl");
        Assert.True(code == 0, output);
    }

    // Otherwise the tests above would also pass with a checker that says yes to everything.
    [Fact]
    public void Xen_finds_damage()
    {
        byte[] file = Sample.Small(XlGuestKind.Hvm);
        file[Layout.Records(file)[3].At + 8] ^= 1;
        Assert.Equal(1, Verify(file, "xl").Code);
        Assert.Equal(1, Verify(Sample.Small(XlGuestKind.Hvm)[..^1], "xl").Code);
    }

    private static IEnumerable<string> Summary(string output) =>
        from line in output.Split('\n')
        let match = Regex.Match(line, "^(?:(Libxl) Record|Libxc Record|(Domain) Header): ([^,]+)")
        where match.Success
        let layer = match.Groups[1].Value + match.Groups[2].Value
        select layer.Length > 0 ? $"{layer}: {match.Groups[3].Value.Trim()}" : match.Groups[3].Value;

    private static (int Code, string Output) Verify(byte[] file, string format)
    {
        string path = Path.GetTempFileName();
        try
        {
            File.WriteAllBytes(path, file);
            var start = new ProcessStartInfo("python3", [Script!, "-v", "-f", format, "-i", path])
            {
                UseShellExecute = false,
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            };

            // Debian has the modules beside the script's folder.
            string modules = Path.Combine(Path.GetDirectoryName(Script!)!, "..", "lib", "python");
            start.Environment["PYTHONPATH"] = $"{modules}:{Environment.GetEnvironmentVariable("PYTHONPATH")}";
            start.Environment["PYTHONDONTWRITEBYTECODE"] = "1";
            using Process process = Process.Start(start)!;
            Task<string> errors = process.StandardError.ReadToEndAsync();
            string output = process.StandardOutput.ReadToEnd() + errors.GetAwaiter().GetResult();
            process.WaitForExit();
            return (process.ExitCode, output);
        }
        finally
        {
            File.Delete(path);
        }
    }
}
