using System.Text;
using XenTwoLevelCkpt.Protocol.Checking;
using Xunit;

namespace XenTwoLevelCkpt.Protocol.Tests;

/// <summary>The examples of docs/trace-format.md are what the writer writes.</summary>
public class DocumentTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void The_document_shows_what_is_written(bool json)
    {
        using MemoryStream output = new();
        using TraceWriter writer = TraceWriter.Create(
            output, new TraceHeader { Nodes = 2, Protocol = "bcs", Line = LineRule.FirstAtLeast }, json);
        writer.Write(TraceEvent.Send(0, 1, 0, 0));
        writer.Write(TraceEvent.Checkpoint(TraceEventKind.Basic, 0, 1));
        writer.Write(TraceEvent.Send(0, 1, 1, 1));
        writer.Complete();

        string text = json
            ? Encoding.UTF8.GetString(output.ToArray())
            : string.Join('\n', output.ToArray().Chunk(16).Select(row => string.Join(' ', row.Select(b => b.ToString("x2")))));
        string document = File.ReadAllText(FindDocument());
        Assert.True(document.Contains(text.TrimEnd(), StringComparison.Ordinal), $"docs/trace-format.md does not have\n{text}");
    }

    private static string FindDocument()
    {
        for (DirectoryInfo? at = new(AppContext.BaseDirectory); at is not null; at = at.Parent)
        {
            string path = Path.Combine(at.FullName, "docs", "trace-format.md");
            if (File.Exists(path))
            {
                return path;
            }
        }

        throw new FileNotFoundException("docs/trace-format.md is in no folder above the test");
    }
}
