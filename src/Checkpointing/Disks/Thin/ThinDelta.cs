using System.Globalization;
using System.Xml;

namespace XenTwoLevelCkpt.Checkpointing.Disks.Thin;

/// <summary>How a range of blocks differs between two snapshots.</summary>
public enum ThinChange
{
    /// <summary>The newer one has blocks where the older one has none.</summary>
    Added,

    /// <summary>Both have blocks, and not the same ones; their contents may be equal all the same.</summary>
    Replaced,

    /// <summary>The newer one has no blocks any more: they were discarded, and read as zeros.</summary>
    Removed,
}

/// <summary>A range of blocks that is not the same in two snapshots.</summary>
/// <param name="Change">In what way.</param>
/// <param name="Begin">The first block.</param>
/// <param name="Length">Blocks.</param>
public sealed record ThinRange(ThinChange Change, long Begin, long Length);

/// <summary>The changes from one snapshot of a pool to another, by <c>thin_delta</c> of thin-provisioning-tools, 0.9 (C++)
/// to 1.3 (Rust), without its option <c>--verbose</c>.</summary>
/// <remarks>
/// <code>
/// &lt;superblock uuid="" time="1" transaction="0" data_block_size="128" nr_data_blocks="1024"&gt;
///   &lt;diff left="1" right="2"&gt;
///     &lt;same begin="0" length="4"/&gt;
///     &lt;different begin="4" length="1"/&gt;
///     &lt;left_only begin="7" length="1"/&gt;
///     &lt;right_only begin="9" length="2"/&gt;
///   &lt;/diff&gt;
/// &lt;/superblock&gt;
/// </code>
/// </remarks>
public static class ThinDelta
{
    internal const string Package = "thin-provisioning-tools";

    private static readonly XmlReaderSettings Settings = new()
    {
        DtdProcessing = DtdProcessing.Prohibit,
        IgnoreWhitespace = true,
        IgnoreComments = true,
        CloseInput = false,
    };

    /// <summary>Reads the tool's output to its end.</summary>
    /// <param name="xml">The output.</param>
    /// <param name="older">The thin id of the older snapshot.</param>
    /// <param name="newer">The thin id of the newer one.</param>
    /// <param name="blockSectors">The pool's block size in sectors.</param>
    /// <returns>The ranges that are not the same, in the order of their blocks.</returns>
    /// <exception cref="DiskException">This is no such output, or one of other snapshots, or it has no end. An element
    /// that is not known is an error: a change that is not understood must not be left out.</exception>
    public static IReadOnlyList<ThinRange> Parse(Stream xml, int older, int newer, int blockSectors)
    {
        ArgumentNullException.ThrowIfNull(xml);
        try
        {
            using var reader = XmlReader.Create(xml, Settings);
            reader.ReadToFirst("superblock");
            reader.Require("data_block_size", blockSectors);
            reader.ReadStartElement();
            reader.ReadToFirst("diff");
            reader.Require("left", older);
            reader.Require("right", newer);
            List<ThinRange> ranges = [];
            bool isEmpty = reader.IsEmptyElement;
            reader.ReadStartElement();
            long end = 0;
            while (!isEmpty && reader.NodeType == XmlNodeType.Element)
            {
                ThinChange? change = reader.Name switch
                {
                    "same" => null,
                    "different" => ThinChange.Replaced,
                    "left_only" => ThinChange.Removed,
                    "right_only" => ThinChange.Added,
                    _ => throw Wrong($"element <{reader.Name}> is not known"),
                };
                long begin = reader.Number("begin"), length = reader.Number("length");
                if (begin < end || length <= 0 || begin > long.MaxValue - length)
                {
                    throw Wrong($"range {begin}+{length} does not lie behind block {end}");
                }

                end = begin + length;
                if (change is { } known)
                {
                    ranges.Add(new ThinRange(known, begin, length));
                }

                if (!reader.IsEmptyElement)
                {
                    throw Wrong($"element <{reader.Name}> is not empty");
                }

                reader.Skip();
            }

            if (!isEmpty)
            {
                reader.ReadEndElement();
            }

            reader.ReadEndElement();
            return ranges;
        }
        catch (XmlException e)
        {
            throw new DiskException($"The output of thin_delta makes no sense: {e.Message}", e);
        }
    }

    private static void ReadToFirst(this XmlReader reader, string name)
    {
        if (reader.MoveToContent() != XmlNodeType.Element || reader.Name != name)
        {
            throw Wrong($"<{name}> was expected, not '{reader.Name}'");
        }
    }

    private static void Require(this XmlReader reader, string attribute, long value)
    {
        if (reader.Number(attribute) is var found && found != value)
        {
            throw Wrong($"{attribute} is {found}, not {value}");
        }
    }

    private static long Number(this XmlReader reader, string attribute) =>
        long.TryParse(reader.GetAttribute(attribute), NumberStyles.None, null, out long value)
            ? value
            : throw Wrong($"<{reader.Name}> has no number '{attribute}'");

    private static DiskException Wrong(string what) => new($"The output of thin_delta makes no sense: {what}.");
}
