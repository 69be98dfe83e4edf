using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Json;

namespace XenTwoLevelCkpt.Simulator;

/// <summary>How results are printed.</summary>
internal enum ResultFormat
{
    /// <summary>Aligned columns, numbers rounded.</summary>
    Text,

    /// <summary>JSON, numbers in full.</summary>
    Json,

    /// <summary>RFC 4180, numbers in full.</summary>
    Csv,
}

/// <summary>Results as rows of named values: long, double or string.</summary>
/// <param name="columns">The names, in snake_case; the same in every format.</param>
internal sealed class ResultTable(params string[] columns)
{
    private readonly List<object[]> _rows = [];

    /// <summary>The rows.</summary>
    internal IReadOnlyList<object[]> Rows => _rows;

    /// <summary>Adds a row.</summary>
    /// <param name="values">A value for each column.</param>
    internal void Add(params object[] values)
    {
        if (values.Length != columns.Length)
        {
            throw new ArgumentException($"{columns.Length} columns, {values.Length} values", nameof(values));
        }

        _rows.Add(values);
    }

    /// <summary>The table in a format.</summary>
    /// <param name="format">The format.</param>
    internal string Format(ResultFormat format) => format switch
    {
        ResultFormat.Json => Json(),
        ResultFormat.Csv => Csv(),
        _ => Text(),
    };

    private static string Rounded(object value) => value switch
    {
        double d when double.IsNaN(d) => "-",
        double d => Math.Abs(d) is >= 100 or 0
            ? d.ToString("0", CultureInfo.InvariantCulture)
            : d.ToString("G4", CultureInfo.InvariantCulture),
        _ => Exact(value),
    };

    private static string Exact(object value) => value switch
    {
        double d => d.ToString("R", CultureInfo.InvariantCulture),
        IFormattable f => f.ToString(null, CultureInfo.InvariantCulture),
        _ => value.ToString() ?? "",
    };

    private static string Quoted(string text) =>
        text.AsSpan().IndexOfAny(",\"\n") < 0 ? text : $"\"{text.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";

    private string Csv()
    {
        var text = new StringBuilder().AppendJoin(',', columns).Append('\n');
        foreach (object[] row in _rows)
        {
            text.AppendJoin(',', row.Select(value => Quoted(Exact(value)))).Append('\n');
        }

        return text.ToString();
    }

    private string Json()
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = true, NewLine = "\n" }))
        {
            writer.WriteStartArray();
            foreach (object[] row in _rows)
            {
                writer.WriteStartObject();
                for (int i = 0; i < row.Length; i++)
                {
                    writer.WritePropertyName(columns[i]);
                    switch (row[i])
                    {
                        case double d when double.IsFinite(d):
                            writer.WriteNumberValue(d);
                            break;
                        case double:
                            writer.WriteNullValue();
                            break;
                        case long or int or ulong:
                            writer.WriteRawValue(Exact(row[i]));
                            break;
                        default:
                            writer.WriteStringValue(Exact(row[i]));
                            break;
                    }
                }

                writer.WriteEndObject();
            }

            writer.WriteEndArray();
        }

        return Encoding.UTF8.GetString(buffer.WrittenSpan) + "\n";
    }

    // One row stands as lines of name and value, more as a table.
    private string Text()
    {
        var text = new StringBuilder();
        if (_rows.Count == 1)
        {
            int name = columns.Max(column => column.Length);
            for (int i = 0; i < columns.Length; i++)
            {
                text.Append(columns[i].Replace('_', ' ').PadRight(name + 2)).Append(Rounded(_rows[0][i])).Append('\n');
            }

            return text.ToString();
        }

        int[] widths = [.. columns.Select((column, i) =>
            Math.Max(column.Length, _rows.Count == 0 ? 0 : _rows.Max(row => Rounded(row[i]).Length)))];
        Line(columns, i => _rows.Count > 0 && _rows[0][i] is string);
        foreach (object[] row in _rows)
        {
            Line([.. row.Select(Rounded)], i => row[i] is string);
        }

        return text.ToString();

        void Line(string[] cells, Func<int, bool> left)
        {
            string line = string.Join("  ", cells.Select(
                (cell, i) => left(i) ? cell.PadRight(widths[i]) : cell.PadLeft(widths[i])));
            text.Append(line.TrimEnd()).Append('\n');
        }
    }
}
