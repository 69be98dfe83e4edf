namespace XenTwoLevelCkpt.Control;

/// <summary>Columns of text, as wide as their longest cell; the same on a terminal and in a pipe.</summary>
/// <param name="header">The columns' headings.</param>
internal sealed class TextTable(params string[] header)
{
    private readonly List<string[]> _rows = [header];

    /// <summary>Adds a row.</summary>
    /// <param name="cells">One cell a column.</param>
    internal void Add(params string[] cells) => _rows.Add(cells);

    /// <summary>Writes the table. Columns of numbers are aligned to the right.</summary>
    /// <param name="output">Receives the lines.</param>
    internal void Write(TextWriter output)
    {
        var columns = Enumerable.Range(0, header.Length).Select(c => (
            Width: _rows.Max(row => row[c].Length),
            Numeric: _rows.Skip(1).All(row => row[c].Length > 0 && (char.IsAsciiDigit(row[c][^1]) && double.TryParse(row[c], out _))))).ToArray();
        foreach (string[] row in _rows)
        {
            output.WriteLine(string.Join("  ", row.Select((cell, c) =>
                columns[c].Numeric ? cell.PadLeft(columns[c].Width) : cell.PadRight(columns[c].Width))).TrimEnd());
        }
    }
}
