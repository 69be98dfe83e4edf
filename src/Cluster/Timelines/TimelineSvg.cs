using System.Globalization;
using System.Text;
using System.Xml;

namespace XenTwoLevelCkpt.Cluster.Timelines;

/// <summary>Draws a timeline as an SVG picture (W3C, SVG 1.1): a line for each node from left to right, squares for
/// checkpoints, arrows for the messages that forced one, what was undone in grey.</summary>
/// <param name="timeline">The timeline.</param>
/// <param name="names">By node its name; numbers where it is null.</param>
public sealed class TimelineSvg(Timeline timeline, IReadOnlyList<string>? names = null)
{
    // User units, which are pixels where the picture is not scaled.
    private const int Left = 120, Top = 40, Step = 28, Row = 64, Size = 7;

    // The daemon's page draws with the same file.
    private static readonly string Style = ReadStyle();

    /// <summary>Writes the picture.</summary>
    /// <param name="output">Receives it, as UTF-8; stays open.</param>
    /// <exception cref="IOException">It cannot be written.</exception>
    public void Write(Stream output)
    {
        using XmlWriter svg = XmlWriter.Create(output, new XmlWriterSettings { Indent = true, Encoding = new UTF8Encoding(false) });
        int width = X(timeline.Columns) + Left, height = Y(timeline.Nodes) + Top;
        svg.WriteStartElement("svg", "http://www.w3.org/2000/svg");
        Attributes(svg, ("width", width), ("height", height));
        svg.WriteAttributeString("viewBox", string.Create(CultureInfo.InvariantCulture, $"0 0 {width} {height}"));
        svg.WriteElementString("title", Title());
        svg.WriteElementString("style", Style);
        Tips(svg);
        Text(svg, Title(), Left, Top / 2);
        for (int node = 0; node < timeline.Nodes; node++)
        {
            Text(svg, names?[node] ?? $"node {node}", 8, Y(node) + 4);
            Line(svg, "node", X(0), Y(node), X(timeline.Columns), Y(node), null);
        }

        foreach (Mark mark in timeline.Marks)
        {
            Draw(svg, mark);
        }

        DrawLine(svg);
        Legend(svg, Y(timeline.Nodes));
        svg.WriteEndElement();
    }

    private static string ReadStyle()
    {
        using var reader = new StreamReader(typeof(TimelineSvg).Assembly.GetManifestResourceStream("timeline.css")!);
        return reader.ReadToEnd();
    }

    private string Title() =>
        (timeline.Protocol.Length > 0 ? timeline.Protocol : "run")
        + string.Create(
            CultureInfo.InvariantCulture,
            $": {timeline.Nodes} nodes, {Count(MarkKind.Basic)} basic, {Count(MarkKind.Forced)} forced checkpoints")
        + (timeline.Line is { } line ? string.Create(CultureInfo.InvariantCulture, $", line {line}") : "");

    private int Count(MarkKind kind) => timeline.Marks.Count(mark => mark.Kind == kind);

    private static int X(int column) => Left + (column * Step);

    private static int Y(int node) => Top + (Row / 2) + (node * Row);

    private static void Tips(XmlWriter svg)
    {
        svg.WriteStartElement("defs");
        foreach (string id in new[] { "tip", "back" })
        {
            svg.WriteStartElement("marker");
            svg.WriteAttributeString("id", id);
            svg.WriteAttributeString("orient", "auto");
            Attributes(svg, ("markerWidth", 8), ("markerHeight", 8), ("refX", 7), ("refY", 3));
            svg.WriteStartElement("path");
            svg.WriteAttributeString("d", "M0,0 L7,3 L0,6 z");
            svg.WriteAttributeString("class", id);
            svg.WriteEndElement();
            svg.WriteEndElement();
        }

        svg.WriteEndElement();
    }

    private static void Draw(XmlWriter svg, Mark mark)
    {
        int x = X(mark.Column), y = Y(mark.Node);
        string undone = mark.Undone ? " undone" : "";
        switch (mark.Kind)
        {
            case MarkKind.Send:
                break;
            case MarkKind.Failure:
                Line(svg, "failure", x - Size, y - Size, x + Size, y + Size, "the node is lost");
                Line(svg, "failure", x - Size, y + Size, x + Size, y - Size, null);
                break;
            case MarkKind.Rollback:
                Path(svg, "rollback", $"M{x},{y} C{x},{y + Row / 2} {X(mark.Cause!.Column)},{y + Row / 2} {X(mark.Cause.Column)},{y + Size}", $"back to checkpoint {mark.Cause.Index}");
                break;
            default:
                if (mark.Kind == MarkKind.Forced && mark.Cause is { } send)
                {
                    Path(svg, "message" + undone, $"M{X(send.Column)},{Y(send.Node)} L{x},{(send.Node < mark.Node ? y - Size : y + Size)}", $"a message with index {send.Index}");
                }

                string kind = Enum.GetName(mark.Kind)!.ToLowerInvariant();
                Square(svg, kind + undone, x, y, mark.Kind == MarkKind.Failed ? "a checkpoint that failed" : $"{kind} checkpoint {mark.Index}");
                if (mark.Kind != MarkKind.Failed)
                {
                    Text(svg, mark.Index.ToString(CultureInfo.InvariantCulture), x - 4, y - Size - 4);
                }

                break;
        }
    }

    // The recovery line from the first node to the last one.
    private void DrawLine(XmlWriter svg)
    {
        if (timeline.Line is not { } line)
        {
            return;
        }

        string points = string.Join(" L", timeline.Members.Select(mark => $"{X(mark!.Column) + Size + 3},{Y(mark.Node)}"));
        int first = X(timeline.Members[0]!.Column) + Size + 3, last = X(timeline.Members[^1]!.Column) + Size + 3;
        Path(svg, "line", $"M{first},{Y(0) - (Row / 2)} L{points} L{last},{Y(timeline.Nodes - 1) + (Row / 2)}", $"recovery line {line}");
    }

    private static void Legend(XmlWriter svg, int y)
    {
        int x = Left;
        foreach (string kind in new[] { "basic", "forced", "other", "failed" })
        {
            Square(svg, kind, x, y, null);
            Text(svg, kind, x + Size + 6, y + 4);
            x += 90;
        }
    }

    private static void Square(XmlWriter svg, string kind, int x, int y, string? title)
    {
        svg.WriteStartElement("rect");
        svg.WriteAttributeString("class", kind);
        Attributes(svg, ("x", x - Size), ("y", y - Size), ("width", 2 * Size), ("height", 2 * Size));
        End(svg, title);
    }

    private static void Line(XmlWriter svg, string kind, int x1, int y1, int x2, int y2, string? title)
    {
        svg.WriteStartElement("line");
        svg.WriteAttributeString("class", kind);
        Attributes(svg, ("x1", x1), ("y1", y1), ("x2", x2), ("y2", y2));
        End(svg, title);
    }

    private static void Path(XmlWriter svg, string kind, string d, string title)
    {
        svg.WriteStartElement("path");
        svg.WriteAttributeString("class", kind);
        svg.WriteAttributeString("d", d);
        End(svg, title);
    }

    private static void Text(XmlWriter svg, string text, int x, int y)
    {
        svg.WriteStartElement("text");
        Attributes(svg, ("x", x), ("y", y));
        svg.WriteString(text);
        svg.WriteEndElement();
    }

    // The title is what a browser shows under the pointer, and what a reader for the blind reads.
    private static void End(XmlWriter svg, string? title)
    {
        if (title is not null)
        {
            svg.WriteElementString("title", title);
        }

        svg.WriteEndElement();
    }

    private static void Attributes(XmlWriter svg, params ReadOnlySpan<(string Name, int Value)> attributes)
    {
        foreach ((string name, int value) in attributes)
        {
            svg.WriteAttributeString(name, value.ToString(CultureInfo.InvariantCulture));
        }
    }
}
