using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.NativeInterop.Memory;
using Xunit;
using Second = XenTwoLevelCkpt.Images.SecondReader;

namespace XenTwoLevelCkpt.Images.Tests;

/// <summary>What this reader shows of an image or a chain, to be compared with what the second one has.</summary>
internal sealed class JudgedState : ImageVisitor
{
    // A unit of zeros is null: they are many.
    private readonly SortedDictionary<ulong, byte[]?> _units = [];
    private readonly List<(string Name, MemoryStream Data)> _blobs = [];
    private bool _open;
    private DiskInfo? _disk;

    public override void OnData(PfnRun run, ReadOnlySpan<byte> data)
    {
        Assert.True(run.Count > 0 && data.Length % run.Count == 0 && !data.IsEmpty, "a run comes with its data");
        int size = data.Length / run.Count;
        for (int i = 0; i < run.Count; i++)
        {
            _units[(ulong)run.First + (ulong)i] = data.Slice(i * size, size).ToArray();
        }
    }

    public override void OnZero(PfnRun run)
    {
        for (long unit = run.First; unit < run.End; unit++)
        {
            _units[(ulong)unit] = null;
        }
    }

    public override void OnUnpopulated(PfnRun run)
    {
        for (long unit = run.First; unit < run.End; unit++)
        {
            _ = _units.Remove((ulong)unit);
        }
    }

    public override void OnBlob(string name, ReadOnlySpan<byte> part, bool last)
    {
        if (!_open)
        {
            _blobs.Add((name, new MemoryStream()));
        }

        Assert.Equal(name, _blobs[^1].Name);
        _blobs[^1].Data.Write(part);
        _open = !last;
    }

    public override void OnDisk(DiskInfo disk) => _disk = disk;

    internal void AssertSame(Second.PartState theirs)
    {
        Assert.True(_units.Keys.SequenceEqual(theirs.Units.Keys), "the readers have different units");
        foreach ((ulong unit, byte[]? data) in _units)
        {
            ReadOnlySpan<byte> other = theirs.Units[unit].Span;
            Assert.True(
                data is null ? !other.ContainsAnyExcept((byte)0) : other.SequenceEqual(data), $"unit {unit} differs");
        }

        // Layers have an order, other blobs have none.
        IEnumerable<Second.Blob> blobs = theirs.Layers.Count > 0
            ? theirs.Layers
            : _blobs.Where(b => theirs.Blobs.ContainsKey(b.Name)).Select(b => theirs.Blobs[b.Name]);
        Assert.Equal(theirs.Layers.Count + theirs.Blobs.Count, _blobs.Count);
        foreach (((string name, MemoryStream data), Second.Blob blob) in _blobs.Zip(blobs))
        {
            Assert.Equal(name, blob.Name);
            Assert.True(blob.ToArray().AsSpan().SequenceEqual(data.ToArray()), $"blob {name} differs");
        }

        Assert.Equal((theirs.Disk?.Name, (long?)theirs.Disk?.Length), (_disk?.Name, _disk?.Length));
    }
}
