using System.Globalization;
using System.Text.Json;
using XenTwoLevelCkpt.Benchmarks.Node;

namespace XenTwoLevelCkpt.Benchmarks.Channel;

/// <summary>Turns what scripts/bench-channel.sh left into a table: medians over the rounds, and ratios between ways of the
/// same round.</summary>
/// <param name="folder">Files ROUND.WAY.KIND: <c>tcp</c>, <c>udp64</c> and <c>udp1400</c> are iperf3's JSON, <c>cpu</c> the seconds of
/// the way's own processes during <c>tcp</c>, <c>rr</c> a line of <see cref="RoundTrips"/>, <c>checkpoints</c> how many there
/// were.</param>
internal sealed class ChannelReport(string folder)
{
    private readonly int _rounds = Directory.GetFiles(folder, "*.tcp").Select(f => Path.GetFileName(f).Split('.')[0]).Distinct().Count();

    internal void Write(BenchmarkOutput output)
    {
        (string Name, Func<int, string, double> Of)[] figures =
        [
            ("tcp Mb/s", Throughput),
            ("cpu s/GiB", (round, way) => Number(round, way, "cpu") / Gibibytes(round, way)),
            ("udp64 1/s", (round, way) => Packets(round, way, "udp64")),
            ("udp1400 1/s", (round, way) => Packets(round, way, "udp1400")),
            ("rr us", (round, way) => Number(round, way, "rr")),
            ("rr p99 us", (round, way) => Number(round, way, "rr", 1)),
        ];
        string[] ways = [.. new[] { "kernel", "socat", "socat-udp", "bare", "daemon", "checkpoints" }
            .Where(way => File.Exists(Place(1, way, "tcp")))];
        output.Header("way", "figure", "median", "least", "most", "over bare", "over socat", "over kernel");
        foreach ((string name, Func<int, string, double> of) in figures)
        {
            foreach (string way in ways)
            {
                double[] values = [.. Rounds(round => of(round, way)).Where(double.IsFinite).DefaultIfEmpty(double.NaN)];
                output.Row(
                    way, name, Cell(Median(values)), Cell(values.Min()), Cell(values.Max()), Ratio(of, way, "bare"),
                    Ratio(of, way, "socat"), Ratio(of, way, "kernel"));
            }
        }

        if (File.Exists(Place(1, "checkpoints", "checkpoints")))
        {
            Console.WriteLine($"checkpoints a node in each round: {string.Join(", ", Rounds(r => Number(r, "checkpoints", "checkpoints")))}");
        }
    }

    internal static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Where(double.IsFinite).Order()];
        return sorted.Length == 0 ? double.NaN
            : sorted.Length % 2 == 1 ? sorted[sorted.Length / 2]
            : (sorted[(sorted.Length / 2) - 1] + sorted[sorted.Length / 2]) / 2;
    }

    // What did not come about has no figure, and is no 0 either.
    private static object Cell(double value) => double.IsFinite(value) ? value : "-";

    // Inside each round first: what disturbs the machine disturbs both.
    private object Ratio(Func<int, string, double> of, string way, string other) => Cell(
        way == other || !File.Exists(Place(1, other, "tcp"))
            ? double.NaN
            : Median(Rounds(round => of(round, way) / of(round, other))));

    private IEnumerable<double> Rounds(Func<int, double> of) => Enumerable.Range(1, _rounds).Select(of);

    private string Place(int round, string way, string kind) => Path.Combine(folder, $"{round}.{way}.{kind}");

    private double Throughput(int round, string way) => Sum(round, way, "tcp", "sum_received", "bits_per_second") / 1e6;

    private double Gibibytes(int round, string way) => Sum(round, way, "tcp", "sum_received", "bytes") / (1 << 30);

    private double Packets(int round, string way, string kind) =>
        (Sum(round, way, kind, "sum", "packets") - Sum(round, way, kind, "sum", "lost_packets")) / Sum(round, way, kind, "sum", "seconds");

    // No number where the way did not carry it to its end.
    private double Sum(int round, string way, string kind, string sum, string field)
    {
        try
        {
            using var report = JsonDocument.Parse(File.ReadAllText(Place(round, way, kind)));
            return report.RootElement.GetProperty("end").TryGetProperty(sum, out JsonElement element)
                && element.TryGetProperty(field, out JsonElement value)
                ? value.GetDouble()
                : double.NaN;
        }
        catch (JsonException)
        {
            return double.NaN;
        }
    }

    private double Number(int round, string way, string kind, int column = 0)
    {
        string path = Place(round, way, kind);
        string[] words = File.Exists(path) ? File.ReadAllText(path).Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries) : [];
        return column < words.Length ? double.Parse(words[column], CultureInfo.InvariantCulture) : double.NaN;
    }
}
