using System.Globalization;
using System.Text.Json;

namespace XenTwoLevelCkpt.Benchmarks.Node;

/// <summary>A table on the terminal, and the same as JSON in artifacts/bench.</summary>
internal sealed class BenchmarkOutput(string name, string folder)
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    private readonly List<Dictionary<string, object>> _rows = [];
    private string[] _columns = [];

    internal void Header(params string[] columns)
    {
        _columns = columns;
        Console.WriteLine(string.Join("  ", columns.Select((c, i) => c.PadLeft(WidthOf(i)))));
    }

    internal void Row(params object[] cells)
    {
        Console.WriteLine(string.Join("  ", cells.Select((c, i) => Text(c).PadLeft(WidthOf(i)))));
        _rows.Add(_columns.Zip(cells).ToDictionary(p => p.First, p => p.Second));
    }

    internal void Save()
    {
        Directory.CreateDirectory(folder);
        string file = Path.Combine(folder, $"{name}.json");
        File.WriteAllText(file, JsonSerializer.Serialize(_rows, Indented));
        Console.WriteLine($"also in {file}");
    }

    private int WidthOf(int column) => Math.Max(12, _columns[column].Length);

    private static string Text(object cell) => cell is double d
        ? d.ToString("F3", CultureInfo.InvariantCulture)
        : Convert.ToString(cell, CultureInfo.InvariantCulture)!;
}
