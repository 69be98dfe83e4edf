using System.Text.Json;
using XenTwoLevelCkpt.Hypervisor;

namespace XenTwoLevelCkpt.Control;

/// <summary><c>xtlctl dirty</c>: how fast a domain writes its memory.</summary>
/// <param name="openHypervisor">Connects to the hypervisor.</param>
/// <param name="output">Receives the report.</param>
internal sealed class DirtyCommand(Func<IHypervisor> openHypervisor, TextWriter output)
{
    /// <summary>Measures and prints.</summary>
    /// <param name="name">Name, id or UUID of the domain.</param>
    /// <param name="duration">How long to sample.</param>
    /// <param name="interval">Time between samples.</param>
    /// <param name="json">JSON instead of a table.</param>
    /// <param name="cancellationToken">Ends the measurement early.</param>
    internal async Task<int> RunAsync(
        string name, TimeSpan duration, TimeSpan interval, bool json, CancellationToken cancellationToken)
    {
        using IHypervisor hypervisor = openHypervisor();
        using IDomain domain = hypervisor.OpenDomain(hypervisor.FindDomain(name).Uuid);
        if (!json)
        {
            output.WriteLine("  at s   dirty    runs  copy ms");
        }

        DirtyReport report = await new DirtyMeter(domain)
            .MeasureAsync(duration, interval, json ? null : PrintSample, cancellationToken).ConfigureAwait(false);
        if (json)
        {
            output.WriteLine(JsonSerializer.Serialize(report, ControlJson.Default.DirtyReport));
        }
        else
        {
            Print(report);
        }

        return cancellationToken.IsCancellationRequested ? ExitCodes.Interrupted : ExitCodes.Ok;
    }

    private void PrintSample(DirtySample s) => output.WriteLine(
        $"{s.AtSeconds,6:F2}  {s.Pages,6}  {s.Runs,6}  {(s.CopyMilliseconds is { } ms ? $"{ms:F2}" : "-"),7}");

    private void Print(DirtyReport r)
    {
        output.WriteLine(
            $"{r.Samples.Count} samples in {r.Seconds:F2} s: {r.DirtyPages} dirty pages, {r.DistinctPages} distinct, "
            + $"{r.PagesPerSecond:F0} pages/s");
        output.WriteLine(r.CopyMiBPerSecond is { } rate
            ? $"copied {r.CopiedPages} pages at {rate:F0} MiB/s"
            : r.CopiedPages is null ? "not copied: pages of a PV guest are read by libxenguest only" : "nothing to copy");
    }
}
