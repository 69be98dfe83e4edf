using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Images.Chains;

/// <summary>Lets through the first copy of each unit that it sees. Fed newest first, that is the state; or, of the increments
/// upon a state that is not fed, what they change of it.</summary>
internal sealed class NewestCopies : ImageVisitor
{
    private readonly ImageVisitor _target;
    private readonly SeenUnits _seen;
    private readonly int _unitSize;
    private readonly bool _changes;

    /// <param name="target">Receives the copies.</param>
    /// <param name="units">The newest image's unit count.</param>
    /// <param name="unitSize">Bytes of a unit.</param>
    /// <param name="changes">True to let through, too, that units do not exist any more.</param>
    internal NewestCopies(ImageVisitor target, long units, int unitSize, bool changes)
    {
        _changes = changes;
        _target = target;
        _seen = new SeenUnits(units);
        _unitSize = unitSize;
        Limit = units;
    }

    /// <summary>Units from here on do not exist: the lowest count of the images fed so far.</summary>
    internal long Limit { get; set; }

    /// <summary>Bytes of a device from here on do not exist: the lowest length of the images fed so far.</summary>
    internal long Length { get; set; } = long.MaxValue;

    public override void OnData(PfnRun run, ReadOnlySpan<byte> data)
    {
        for (PfnRun part = Next(run, run.First); part.Count > 0; part = Next(run, part.End))
        {
            int offset = (int)(part.First - run.First) * _unitSize;
            ReadOnlySpan<byte> units = data.Slice(offset, part.Count * _unitSize);
            if (part.End == Limit && Length != long.MaxValue && Length % _unitSize != 0)
            {
                // The device may have been longer when the image was written: what lay behind its end is gone.
                byte[] last = units[^_unitSize..].ToArray();
                last.AsSpan((int)(Length % _unitSize)).Clear();
                if (part.Count > 1)
                {
                    _target.OnData(part with { Count = part.Count - 1 }, units[..^_unitSize]);
                }

                _target.OnData(new PfnRun(part.End - 1, 1), last);
                continue;
            }

            _target.OnData(part, units);
        }
    }

    public override void OnZero(PfnRun run)
    {
        for (PfnRun part = Next(run, run.First); part.Count > 0; part = Next(run, part.End))
        {
            _target.OnZero(part);
        }
    }

    public override void OnUnpopulated(PfnRun run)
    {
        for (PfnRun part = Next(run, run.First); part.Count > 0; part = Next(run, part.End))
        {
            if (_changes)
            {
                _target.OnUnpopulated(part);
            }
        }
    }

    /// <summary>Takes away units that one of the images did not cover, and none above it has again.</summary>
    /// <param name="units">The newest image's unit count.</param>
    internal void TakeAway(long units)
    {
        for (PfnRun part = _seen.TakeUnseen(Limit, units); part.Count > 0; part = _seen.TakeUnseen(part.End, units))
        {
            _target.OnUnpopulated(part);
        }
    }

    private PfnRun Next(PfnRun run, long from)
    {
        long end = Math.Min(run.End, Limit);
        return from < end ? _seen.TakeUnseen(from, end) : default;
    }
}
