using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Images.Format;

/// <summary>Receives what an image holds, in the order of the file: a unit that comes again replaces what came before.
/// </summary>
/// <remarks>Spans are valid during the call only.</remarks>
public abstract class ImageVisitor
{
    /// <summary>Units with data.</summary>
    /// <param name="run">The units.</param>
    /// <param name="data">Their bytes, one unit after the other.</param>
    public virtual void OnData(PfnRun run, ReadOnlySpan<byte> data)
    {
    }

    /// <summary>Units that are all zeros.</summary>
    /// <param name="run">The units.</param>
    public virtual void OnZero(PfnRun run)
    {
    }

    /// <summary>Units that do not exist any more. Only pages of memory.</summary>
    /// <param name="run">The units.</param>
    public virtual void OnUnpopulated(PfnRun run)
    {
    }

    /// <summary>A part of a blob; the parts of one come in order and one after the other.</summary>
    /// <param name="name">The blob's name.</param>
    /// <param name="part">Its next bytes; may be empty.</param>
    /// <param name="last">True for the last part.</param>
    public virtual void OnBlob(string name, ReadOnlySpan<byte> part, bool last)
    {
    }

    /// <summary>The disk that the image belongs to.</summary>
    /// <param name="disk">The disk.</param>
    public virtual void OnDisk(DiskInfo disk)
    {
    }
}
