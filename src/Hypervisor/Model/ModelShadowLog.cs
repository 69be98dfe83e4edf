using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Hypervisor.Model;

/// <summary>The log-dirty mode of a model domain.</summary>
/// <param name="guest">The domain.</param>
internal sealed class ModelShadowLog(ModelGuest guest) : IShadowLog
{
    /// <summary>As on Xen: two pages of low memory, and the first of the special ones.</summary>
    internal static readonly IReadOnlyList<long> Marks = [0, 1, PhysicalMap.SpecialEnd - PhysicalMap.SpecialCount];

    private ulong[] _words = [];

    public string Label => guest.Name;

    public IReadOnlyList<long> MarkCandidates => guest.Kind == GuestKind.Pv ? [] : Marks;

    public bool IsBeingSaved => guest.IsBeingSaved;

    public long GetPfnCount()
    {
        RequireAlive();
        return guest.PfnCount;
    }

    public bool TryEnable()
    {
        guest.BeginLogCall();
        return guest.ShadowControl(ShadowOp.EnableLogDirty) == 0;
    }

    public void Off()
    {
        RequireAlive();
        _ = guest.ShadowControl(ShadowOp.Off);
    }

    public Span<ulong> Buffer(long pages)
    {
        int words = DirtyBitmap.WordsFor(pages);
        if (_words.Length < words)
        {
            _words = new ulong[words];
        }

        return _words;
    }

    public void Read(long pages, bool clean, bool final)
    {
        guest.BeginLogCall();
        Span<ulong> words = Buffer(pages)[..DirtyBitmap.WordsFor(pages)];
        Answer(guest.ShadowControl(clean ? ShadowOp.Clean : ShadowOp.Peek, words, final));
        int used = (int)(pages & 63);
        if (used != 0)
        {
            words[^1] &= (1UL << used) - 1;
        }
    }

    public void Mark(ReadOnlySpan<PfnRun> pages)
    {
        guest.BeginLogCall();
        Answer(guest.MarkModified(pages));
    }

    public void RequireAlive()
    {
        if (guest.IsDestroyed)
        {
            throw new DomainNotFoundException(guest.Uuid.ToString());
        }
    }

    public void Dispose()
    {
    }

    private void Answer(int result)
    {
        RequireAlive();
        if (result < 0)
        {
            throw new HypervisorException($"The hypervisor refused an operation on the dirty log of {Label}: errno {-result}.");
        }
    }
}
