namespace XenTwoLevelCkpt.Images.SecondReader;

/// <summary>What a run says of its units.</summary>
public enum RunClass
{
    /// <summary>The units' contents are in the image.</summary>
    Data = 0,

    /// <summary>The units are all zero.</summary>
    Zero = 1,

    /// <summary>The units do not exist.</summary>
    Unpopulated = 2,
}

/// <summary>Consecutive units of one class (section 5.2).</summary>
/// <param name="First">The first unit.</param>
/// <param name="Count">The number of units.</param>
/// <param name="Class">What is said of them.</param>
/// <param name="Data">Their contents, one after the other; empty unless the class is data.</param>
public sealed record Run(ulong First, uint Count, RunClass Class, ReadOnlyMemory<byte> Data);

internal static class RunsRecord
{
    private const string Section = "5.2";
    private const int TableAt = 8;
    private const int EntrySize = 16;

    public static IReadOnlyList<Run> Decode(ImageHeader header, byte[] payload)
    {
        Rule.Require(payload.Length >= TableAt, Section, "RUNS has a run count and an encoding");
        uint count = Octets.U32(payload, 0);
        Rule.Require(count is >= 1 and <= 65536, Section, "the run count is 1 to 65536");
        int areaAt = TableAt + ((int)count * EntrySize);
        Rule.Require(areaAt <= payload.Length, Section, "RUNS has all of its runs");

        Run[] runs = new Run[count];
        ulong dataUnits = 0;
        for (int i = 0; i < runs.Length; i++)
        {
            runs[i] = DecodeRun(header, payload.AsSpan(TableAt + (i * EntrySize), EntrySize));
            dataUnits += runs[i].Class == RunClass.Data ? runs[i].Count : 0;
        }

        // 65536 counts below 2^31 of units of 2^20 octets give up to 2^67: the first bound keeps the product exact.
        Rule.Require(dataUnits <= uint.MaxValue, "5.1", "the data of a record has at most 4 MiB");
        ulong length = dataUnits * header.UnitSize;
        byte[] data = DataArea.Decode(header, Octets.U32(payload, 4), payload.AsSpan(areaAt), length);
        int at = 0;
        for (int i = 0; i < runs.Length; i++)
        {
            if (runs[i].Class == RunClass.Data)
            {
                int octets = (int)(runs[i].Count * header.UnitSize);
                runs[i] = runs[i] with { Data = data.AsMemory(at, octets) };
                at += octets;
            }
        }

        return runs;
    }

    private static Run DecodeRun(ImageHeader header, ReadOnlySpan<byte> entry)
    {
        ulong first = Octets.U64(entry, 0);
        uint count = Octets.U32(entry, 8);
        uint runClass = Octets.U32(entry, 12);
        Rule.Require(count is >= 1 and <= int.MaxValue, Section, "a run has 1 to 2147483647 units");
        Rule.Require(runClass <= 2, Section, "the class of a run is data, zero or unpopulated");
        Rule.Require(
            runClass < 2 || header.Content == ImageContent.Memory, Section, "only pages of memory are unpopulated");
        Rule.Require(
            first <= header.UnitCount && count <= header.UnitCount - first,
            Section,
            "a run ends at the unit count at the latest");
        return new Run(first, count, (RunClass)runClass, ReadOnlyMemory<byte>.Empty);
    }
}
