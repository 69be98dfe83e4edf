using FsCheck;
using FsCheck.Fluent;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.NativeInterop.Memory;
using Xunit;

namespace XenTwoLevelCkpt.Images.Tests;

/// <summary>The naive model of what images mean: a dictionary of units.</summary>
internal sealed class MemoryModel : ImageVisitor
{
    private readonly int _unit;

    internal MemoryModel(int unit) => _unit = unit;

    internal SortedDictionary<long, byte[]> Units { get; } = [];

    internal int Calls { get; private set; }

    public override void OnData(PfnRun run, ReadOnlySpan<byte> data)
    {
        Calls++;
        Assert.Equal(run.Count * _unit, data.Length);
        for (int i = 0; i < run.Count; i++)
        {
            Units[run.First + i] = data.Slice(i * _unit, _unit).ToArray();
        }
    }

    public override void OnZero(PfnRun run)
    {
        Calls++;
        for (long pfn = run.First; pfn < run.End; pfn++)
        {
            Units[pfn] = new byte[_unit];
        }
    }

    public override void OnUnpopulated(PfnRun run)
    {
        Calls++;
        for (long pfn = run.First; pfn < run.End; pfn++)
        {
            _ = Units.Remove(pfn);
        }
    }

    /// <summary>Units that an image does not cover do not exist any more.</summary>
    internal void Shrink(long units)
    {
        foreach (long pfn in Units.Keys.Where(p => p >= units).ToArray())
        {
            _ = Units.Remove(pfn);
        }
    }

    internal MemoryModel Copy()
    {
        var copy = new MemoryModel(_unit);
        foreach ((long pfn, byte[] data) in Units)
        {
            copy.Units[pfn] = data;
        }

        return copy;
    }

    internal void AssertSame(MemoryModel other)
    {
        Assert.Equal(Units.Keys, other.Units.Keys);
        foreach ((long pfn, byte[] data) in Units)
        {
            Assert.True(data.AsSpan().SequenceEqual(other.Units[pfn]), $"unit {pfn} differs");
        }
    }
}

/// <summary>One step of writing an image.</summary>
/// <param name="Run">The units.</param>
/// <param name="Kind">0 noise, 1 compressible, 2 zero data, 3 zero run, 4 unpopulated, 5 mixed, 6 flush.</param>
/// <param name="Seed">Makes the data.</param>
internal sealed record Step(PfnRun Run, int Kind, int Seed)
{
    internal static Gen<Step> For(int units) =>
        from first in Gen.Choose(0, units - 1)
        from count in Gen.OneOf(Gen.Constant(1), Gen.Choose(1, Math.Min(40, units)))
        from kind in Gen.Elements(0, 0, 1, 1, 2, 3, 4, 5, 6)
        from seed in Gen.Choose(0, 100_000)
        select new Step(new PfnRun(first, Math.Min(count, units - first)), kind, seed);

    internal static Gen<Step[]> Steps(int units) =>
        from count in Gen.Choose(0, 30)
        from steps in For(units).ArrayOf(count)
        select steps;

    /// <summary>Blocks do not cease to exist.</summary>
    internal bool IsFor(ImageContent content) => Kind != 4 || content == ImageContent.Memory;

    /// <summary>Does the step to an image and to the model.</summary>
    internal void Apply(ImageWriter writer, MemoryModel model)
    {
        int length = Run.Count * writer.Header.UnitSize;
        byte[] data = Kind switch
        {
            0 => Sample.Noise(Seed, length),
            1 or 5 => Sample.Compressible(Seed % 200, length),
            _ => new byte[length],
        };
        if (Kind == 5)
        {
            for (int i = 0; i < Run.Count; i += 2)
            {
                data.AsSpan(i * writer.Header.UnitSize, writer.Header.UnitSize).Clear();
            }
        }

        switch (Kind)
        {
            case 3:
                writer.AddZero(Run);
                model.OnZero(Run);
                break;
            case 4:
                writer.AddUnpopulated(Run);
                model.OnUnpopulated(Run);
                break;
            case 6:
                writer.Flush();
                break;
            default:
                writer.AddUnits(Run, data);
                model.OnData(Run, data);
                break;
        }
    }
}
