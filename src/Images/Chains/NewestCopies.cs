using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Images.Chains;

/// <summary>Lets through the first copy of each unit that it sees. Fed newest first, that is the state.</summary>
internal sealed class NewestCopies : ImageVisitor
{
    private readonly ImageVisitor _target;
    private readonly SeenUnits _seen;
    private readonly int _unitSize;

    internal NewestCopies(ImageVisitor target, long units, int unitSize)
    {
        _target = target;
        _seen = new SeenUnits(units);
        _unitSize = unitSize;
        Limit = units;
    }

    /// <summary>Units from here on do not exist: the lowest count of the images fed so far.</summary>
    internal long Limit { get; set; }

    public override void OnData(PfnRun run, ReadOnlySpan<byte> data)
    {
        for (PfnRun part = Next(run, run.First); part.Count > 0; part = Next(run, part.End))
        {
            int offset = (int)(part.First - run.First) * _unitSize;
            _target.OnData(part, data.Slice(offset, part.Count * _unitSize));
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
        }
    }

    private PfnRun Next(PfnRun run, long from)
    {
        long end = Math.Min(run.End, Limit);
        return from < end ? _seen.TakeUnseen(from, end) : default;
    }
}
