using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Hypervisor;

/// <summary>A dirty log that knows whether it still is the one that it began, and harms no other program's.</summary>
/// <remarks>
/// <para>
/// Xen has one log a domain and knows no owner. A program that finds it on, such as a live migration by libxl, switches it
/// off and on again and reads it from then on; ENABLE fails as before, so asking with it does not tell whose it is. A log
/// begins empty, though. So a few pages that the guest does not write are marked dirty by this object after each CLEAN, and
/// looked for before the next one: where one is missing, the log is another's or off.
/// </para>
/// <para>
/// What a CLEAN takes out of a log that turns out to be another's goes back into it as marks, so that the other program
/// misses nothing. What is left: a log taken over between a CLEAN and the marks that follow it, two hypercalls in a row
/// between two others, is taken for this one until the other program's first CLEAN.
/// </para>
/// </remarks>
internal sealed class OwnedDirtyLog : IDirtyLog
{
    /// <summary>PFNs that are looked at before a reading: one word, so that Xen copies 8 octets and not the bitmap.
    /// </summary>
    private const int LowPages = 64;

    private readonly IShadowLog _shadow;
    private readonly PfnRun[] _marks;

    // The part of the first word that is marked.
    private readonly ulong _low;
    private bool _lost;
    private bool _disposed;

    /// <summary>Switches the log on.</summary>
    /// <param name="shadow">The domain's log; this object disposes it.</param>
    /// <exception cref="DirtyLogBusyException">It is on.</exception>
    internal OwnedDirtyLog(IShadowLog shadow)
    {
        _shadow = shadow;
        try
        {
            PfnCount = shadow.GetPfnCount();
            _ = shadow.Buffer(PfnCount);
            if (!shadow.TryEnable())
            {
                throw new DirtyLogBusyException(shadow.Label);
            }

            _marks = ChooseMarks();
            _low = LowMarks(_marks);
        }
        catch
        {
            shadow.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public long PfnCount { get; private set; }

    /// <summary>Switches off a log that a process left on that ended. Leaves another program's alone.</summary>
    /// <param name="shadow">The domain's log; stays the caller's.</param>
    /// <returns>True where it was on and is off now.</returns>
    internal static bool StopLeft(IShadowLog shadow)
    {
        if (shadow.TryEnable())
        {
            shadow.Off();
            return false;
        }

        // A process that ended between a CLEAN and its marks left none.
        ulong low = LowMarks([.. shadow.MarkCandidates.Select(p => new PfnRun(p, 1))]);
        if ((low == 0 || (PeekLow(shadow) & low) == 0) && shadow.IsBeingSaved)
        {
            return false;
        }

        shadow.Off();
        return true;
    }

    /// <inheritdoc/>
    public DirtyBitmap Clean(bool final = false)
    {
        ThrowIfUseless();
        if (!final)
        {
            Grow();
        }

        if (_low != 0 && (PeekLow(_shadow) & _low) != _low)
        {
            throw Lost();
        }

        Read(clean: true, final);
        if (_marks.Length == 0)
        {
            return final ? Bitmap() : Asked();
        }

        if (!HasMarks())
        {
            PutBack();
            throw Lost();
        }

        Mark();
        return Bitmap();
    }

    /// <inheritdoc/>
    public DirtyBitmap Peek()
    {
        ThrowIfUseless();
        Grow();
        Read(clean: false, final: false);
        return _marks.Length == 0 ? Asked() : HasMarks() ? Bitmap() : throw Lost();
    }

    /// <inheritdoc/>
    public void RequireWhole()
    {
        ThrowIfUseless();
        if (_marks.Length == 0)
        {
            RequireOn();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        try
        {
            // OFF has no owner: it would end another program's log, too.
            if (!_lost && (_low == 0 || (PeekLow(_shadow) & _low) == _low))
            {
                _shadow.Off();
            }
        }
        catch (DomainNotFoundException)
        {
            // The domain is gone and its log with it.
        }
        finally
        {
            _shadow.Dispose();
        }
    }

    private static ulong LowMarks(ReadOnlySpan<PfnRun> marks)
    {
        ulong low = 0;
        foreach (PfnRun mark in marks)
        {
            low |= mark.First < LowPages ? 1UL << (int)mark.First : 0;
        }

        return low;
    }

    private static ulong PeekLow(IShadowLog shadow)
    {
        shadow.Buffer(LowPages)[0] = 0;
        shadow.Read(LowPages, clean: false, final: false);
        return shadow.Buffer(LowPages)[0];
    }

    // Those that the log shows: not every guest has all candidates.
    private PfnRun[] ChooseMarks()
    {
        PfnRun[] candidates = [.. _shadow.MarkCandidates.Where(p => p < PfnCount - 1).Select(p => new PfnRun(p, 1))];
        if (candidates.Length == 0)
        {
            return [];
        }

        _shadow.Mark(candidates);
        _shadow.Buffer(PfnCount).Clear();
        Read(clean: false, final: false);
        ReadOnlySpan<ulong> words = _shadow.Buffer(PfnCount);
        var marks = new List<PfnRun>();
        foreach (PfnRun candidate in candidates)
        {
            if (IsSet(words, candidate.First))
            {
                marks.Add(candidate);
            }
        }

        return [.. marks];
    }

    private static bool IsSet(ReadOnlySpan<ulong> words, long pfn) => (words[(int)(pfn >> 6)] >> (int)(pfn & 63) & 1) != 0;

    private void Read(bool clean, bool final)
    {
        // What an earlier reading left must not count: of a dying domain Xen writes nothing.
        Span<ulong> words = _shadow.Buffer(PfnCount);
        foreach (PfnRun mark in _marks ?? [])
        {
            words[(int)(mark.First >> 6)] = 0;
        }

        _shadow.Read(PfnCount, clean, final);
    }

    private bool HasMarks()
    {
        ReadOnlySpan<ulong> words = _shadow.Buffer(PfnCount);
        foreach (PfnRun mark in _marks)
        {
            if (!IsSet(words, mark.First))
            {
                return false;
            }
        }

        return true;
    }

    private void Mark()
    {
        try
        {
            _shadow.Mark(_marks);
        }
        catch
        {
            // Without marks the log could not be known again, and would stay on for ever.
            _lost = true;
            _shadow.Off();
            throw;
        }
    }

    private void PutBack()
    {
        var runs = new List<PfnRun>();
        foreach (PfnRun run in Bitmap().EnumerateRuns())
        {
            // Xen marks all pages but the last: of a guest below 4 GiB the console's ring, which no restore keeps.
            int count = (int)Math.Min(run.Count, PfnCount - 1 - run.First);
            if (count > 0)
            {
                runs.Add(new PfnRun(run.First, count));
            }
        }

        _shadow.Mark([.. runs]);
    }

    private DirtyBitmap Bitmap() => new(_shadow.Buffer(PfnCount)[..DirtyBitmap.WordsFor(PfnCount)], PfnCount);

    private DirtyBitmap Asked()
    {
        RequireOn();
        return Bitmap();
    }

    // All that can be asked of a log without marks: an ENABLE that succeeds tells that it was off.
    private void RequireOn()
    {
        _shadow.RequireAlive();
        if (_shadow.TryEnable())
        {
            _shadow.Off();
            throw Lost();
        }
    }

    private DirtyLogLostException Lost()
    {
        _shadow.RequireAlive();
        _lost = true;
        return new DirtyLogLostException(_shadow.Label);
    }

    private void ThrowIfUseless()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (_lost)
        {
            throw new DirtyLogLostException(_shadow.Label);
        }
    }

    // A guest may have been given memory above all that it had.
    private void Grow() => PfnCount = Math.Max(PfnCount, _shadow.GetPfnCount());
}
