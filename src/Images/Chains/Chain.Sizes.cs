using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Images.Chains;

/// <content>What images would take that replace those of the chain.</content>
public sealed partial class Chain
{
    /// <summary>Octets of an image that would hold the newest <c>i + 1</c> images, for each i: an estimate by the runs of the
    /// records, each unit at the mean of its record. Reads no data.</summary>
    /// <returns>One number an image; <see cref="long.MaxValue"/> where they cannot be merged. The last one is that of the full
    /// image.</returns>
    /// <exception cref="ImageException">An image is damaged.</exception>
    /// <exception cref="IOException">An image cannot be read.</exception>
    public IReadOnlyList<long> Sizes()
    {
        long[] sizes = new long[_readers.Length];
        var seen = new SeenUnits(Header.UnitCount);
        long limit = Header.UnitCount;
        double size = 0;
        for (int i = 0; i < _readers.Length; i++)
        {
            limit = Math.Min(limit, _readers[i].Header.UnitCount);
            size += Header.HasUnits ? Unseen(i, seen, limit) : Links[i].Part.Length;
            sizes[i] = ImageFormat.HeaderSize + ImageFormat.EndSize + (long)size;
        }

        if (Base == Guid.Empty)
        {
            for (int i = Mergeable(); i < sizes.Length - 1; i++)
            {
                sizes[i] = long.MaxValue;
            }
        }

        return sizes;
    }

    // Octets of what an image has of units that were not seen.
    private double Unseen(int image, SeenUnits seen, long limit)
    {
        double size = 0;
        var runs = new List<(PfnRun Run, RunClass Class)>();
        for (int record = _records[image].Length - 1; record >= First; record--)
        {
            int stored = _readers[image].ReadRunsAt(_records[image][record], runs);
            long units = runs.Sum(r => r.Class == RunClass.Data ? (long)r.Run.Count : 0);
            double each = units == 0 ? 0 : (double)stored / units;
            for (int i = runs.Count - 1; i >= 0; i--)
            {
                (PfnRun run, RunClass @class) = runs[i];
                long end = Math.Min(run.End, limit);
                for (PfnRun part = Next(run.First); part.Count > 0; part = Next(part.End))
                {
                    size += ImageFormat.RunSize + (@class == RunClass.Data ? part.Count * each : 0);
                }

                PfnRun Next(long from) => from < end ? seen.TakeUnseen(from, end) : default;
            }
        }

        return size;
    }

    // How many of the newest images can be merged with each other: those of a device up to one of another length.
    private int Mergeable()
    {
        if (!Header.NeedsDisk || !Header.HasUnits)
        {
            return _readers.Length;
        }

        long? length = null;
        for (int i = 0; i < _readers.Length; i++)
        {
            var found = new DiskVisitor();
            _readers[i].ReadRecordAt(_records[i][0], found);
            _readers[i].Restart();
            if (found.Disk!.Length != (length ??= found.Disk.Length))
            {
                return i;
            }
        }

        return _readers.Length;
    }
}
