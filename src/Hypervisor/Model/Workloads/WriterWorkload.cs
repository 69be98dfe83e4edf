namespace XenTwoLevelCkpt.Hypervisor.Model;

/// <summary>Which pages a <see cref="WriterWorkload"/> writes.</summary>
public enum AccessPattern
{
    /// <summary>All pages alike.</summary>
    Uniform,

    /// <summary>90% of the writes go to the first 10% of the pages.</summary>
    HotSet,

    /// <summary>The page of rank r is written with a probability proportional to 1/r^s; ranks are scattered
    /// over the buffer.</summary>
    Zipf,

    /// <summary>One page after the other, and again from the start.</summary>
    Sequential,
}

/// <summary>Writes pages of a buffer in a given pattern: a load for benchmarks.</summary>
/// <remarks>
/// Header words: magic, generator state, pattern, first PFN, pages, writes per step, bytes per write, cursor,
/// writes, Zipf exponent. A write puts pseudo-random words at a pseudo-random place of the page.
/// </remarks>
public sealed class WriterWorkload : IWorkload
{
    /// <summary>"XTLWRIT1".</summary>
    internal const ulong MagicWord = 0x3154_4952_574C_5458;

    private const int Generator = 1;
    private const int Pattern = 2;
    private const int FirstPfn = 3;
    private const int Pages = 4;
    private const int WritesPerStep = 5;
    private const int BytesPerWrite = 6;
    private const int Cursor = 7;
    private const int WritesWord = 8;
    private const int Exponent = 9;

    private readonly AccessPattern _pattern;
    private readonly ulong _seed;
    private readonly long _pages;
    private readonly int _writesPerStep;
    private readonly int _bytesPerWrite;
    private readonly long _firstPfn;
    private readonly double _exponent;

    /// <summary>Computed from header words alone, so it may be cached beside guest memory.</summary>
    private ZipfSampler _zipf;

    /// <summary>Creates the program.</summary>
    /// <param name="pattern">Which pages it writes.</param>
    /// <param name="seed">Decides the sequence.</param>
    /// <param name="pages">Pages of the buffer.</param>
    /// <param name="writesPerStep">Page writes of a step: what the hypervisor cannot interrupt.</param>
    /// <param name="bytesPerWrite">Bytes of a write: a multiple of 8, at most a page.</param>
    /// <param name="firstPfn">The first page of the buffer. RAM has a hole from 3.75 GiB to 4 GiB.</param>
    /// <param name="zipfExponent">The s of <see cref="AccessPattern.Zipf"/>; positive. 0.99 is YCSB's.</param>
    public WriterWorkload(
        AccessPattern pattern = AccessPattern.Uniform,
        ulong seed = 1,
        long pages = 4096,
        int writesPerStep = 64,
        int bytesPerWrite = 8,
        long firstPfn = Header.DataPfn,
        double zipfExponent = 0.99)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(pages);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(writesPerStep);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(bytesPerWrite);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(bytesPerWrite, ModelGuest.PageSize);
        ArgumentOutOfRangeException.ThrowIfNotEqual(bytesPerWrite % sizeof(ulong), 0, nameof(bytesPerWrite));
        ArgumentOutOfRangeException.ThrowIfLessThan(firstPfn, Header.DataPfn);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(zipfExponent);
        _pattern = pattern;
        _seed = seed;
        _pages = pages;
        _writesPerStep = writesPerStep;
        _bytesPerWrite = bytesPerWrite;
        _firstPfn = firstPfn;
        _exponent = zipfExponent;
    }

    /// <inheritdoc/>
    public void Boot(ModelVcpu vcpu)
    {
        ArgumentNullException.ThrowIfNull(vcpu);
        Header.RequireBuffer(vcpu, _firstPfn, _pages);
        Span<ulong> header = Header.Write(vcpu);
        header[Header.Magic] = MagicWord;
        header[Generator] = SplitMix.Mix(_seed);
        header[Pattern] = (ulong)_pattern;
        header[FirstPfn] = (ulong)_firstPfn;
        header[Pages] = (ulong)_pages;
        header[WritesPerStep] = (ulong)_writesPerStep;
        header[BytesPerWrite] = (ulong)_bytesPerWrite;
        header[Cursor] = 0;
        header[WritesWord] = 0;
        header[Exponent] = BitConverter.DoubleToUInt64Bits(_exponent);
    }

    /// <inheritdoc/>
    public void Step(ModelVcpu vcpu)
    {
        ArgumentNullException.ThrowIfNull(vcpu);
        Span<ulong> header = Header.Write(vcpu);
        ref ulong generator = ref header[Generator];
        long first = (long)header[FirstPfn];
        int words = (int)header[BytesPerWrite] / sizeof(ulong);
        int places = (ModelGuest.PageSize / sizeof(ulong)) - words + 1;
        int writes = (int)header[WritesPerStep];
        for (int i = 0; i < writes; i++)
        {
            long page = NextPage(header, ref generator);
            int place = (int)SplitMix.Below(SplitMix.Next(ref generator), places);
            foreach (ref ulong word in Header.Words(vcpu.WritePage(first + page)).Slice(place, words))
            {
                word = SplitMix.Next(ref generator);
            }
        }

        header[WritesWord] += (ulong)writes;
    }

    /// <summary>Page writes of a guest since it booted.</summary>
    /// <param name="view">The guest.</param>
    public static long WritesOf(IGuestView view)
    {
        ArgumentNullException.ThrowIfNull(view);
        return (long)Header.Read(view)[WritesWord];
    }

    private long NextPage(Span<ulong> header, ref ulong generator)
    {
        long pages = (long)header[Pages];
        switch ((AccessPattern)header[Pattern])
        {
            case AccessPattern.Sequential:
                ulong cursor = header[Cursor];
                header[Cursor] = cursor + 1 == (ulong)pages ? 0 : cursor + 1;
                return (long)cursor;

            case AccessPattern.HotSet:
                long hot = Math.Max(1, pages / 10);
                bool cold = hot < pages && SplitMix.Below(SplitMix.Next(ref generator), 10) == 0;
                ulong random = SplitMix.Next(ref generator);
                return cold ? hot + SplitMix.Below(random, pages - hot) : SplitMix.Below(random, hot);

            case AccessPattern.Zipf:
                double exponent = BitConverter.UInt64BitsToDouble(header[Exponent]);
                if (!_zipf.IsFor(pages, exponent))
                {
                    _zipf = new ZipfSampler(pages, exponent);
                }

                return SplitMix.Below(SplitMix.Mix((ulong)_zipf.Next(ref generator)), pages);

            default:
                return SplitMix.Below(SplitMix.Next(ref generator), pages);
        }
    }
}
