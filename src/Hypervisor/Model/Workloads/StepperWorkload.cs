using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Hypervisor.Model;

/// <summary>
/// Rewrites pseudo-random pages of a buffer and one block of its disk in each step, both chained to the steps
/// before, so that <see cref="Verify"/> finds any page or block that is not of the guest's present step.
/// </summary>
/// <remarks>
/// Header words: magic, seed, first PFN, pages, pages per step, step, chain. Chain 0 is mix(seed), chain k is
/// mix(chain k-1 xor k). A page or block written in step k holds the words k, its number, chain k, and then a
/// sequence seeded by chain k and its number; one never written is zero.
/// </remarks>
public sealed class StepperWorkload : IWorkload
{
    /// <summary>"XTLSTEP1".</summary>
    internal const ulong MagicWord = 0x3150_4554_534C_5458;

    private const int Seed = 1;
    private const int FirstPfn = 2;
    private const int Pages = 3;
    private const int PagesPerStep = 4;
    private const int StepWord = 5;
    private const int Chain = 6;

    /// <summary>Keeps a block's contents different from those of the page with its number.</summary>
    private const ulong BlockSalt = 1UL << 63;

    private readonly ulong _seed;
    private readonly long _pages;
    private readonly int _pagesPerStep;

    /// <summary>Creates the program.</summary>
    /// <param name="seed">Decides everything the guest writes.</param>
    /// <param name="pages">Pages of the buffer.</param>
    /// <param name="pagesPerStep">Page writes of a step; two may hit the same page.</param>
    public StepperWorkload(ulong seed = 1, long pages = 1024, int pagesPerStep = 8)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(pages);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(pagesPerStep);
        _seed = seed;
        _pages = pages;
        _pagesPerStep = pagesPerStep;
    }

    /// <inheritdoc/>
    public void Boot(ModelVcpu vcpu)
    {
        ArgumentNullException.ThrowIfNull(vcpu);
        Header.RequireBuffer(vcpu, Header.DataPfn, _pages);
        Span<ulong> header = Header.Write(vcpu);
        header[Header.Magic] = MagicWord;
        header[Seed] = _seed;
        header[FirstPfn] = (ulong)Header.DataPfn;
        header[Pages] = (ulong)_pages;
        header[PagesPerStep] = (ulong)_pagesPerStep;
        header[StepWord] = 0;
        header[Chain] = SplitMix.Mix(_seed);
    }

    /// <inheritdoc/>
    public void Step(ModelVcpu vcpu)
    {
        ArgumentNullException.ThrowIfNull(vcpu);
        Span<ulong> header = Header.Write(vcpu);
        ulong step = ++header[StepWord];
        ulong chain = header[Chain] = NextChain(header[Chain], step);
        for (int i = 0; i < (int)header[PagesPerStep]; i++)
        {
            long page = PageOf(chain, i, (long)header[Pages]);
            Fill(Header.Words(vcpu.WritePage((long)header[FirstPfn] + page)), step, (ulong)page, chain);
        }

        if (vcpu.BlockCount != 0)
        {
            long block = BlockOf(chain, vcpu.BlockCount);
            Fill(Header.Words(vcpu.WriteBlock(block)), step, (ulong)block | BlockSalt, chain);
        }
    }

    /// <summary>The step that a guest's memory is of.</summary>
    /// <param name="view">The guest, booted with this workload.</param>
    public static long StepOf(IGuestView view)
    {
        ArgumentNullException.ThrowIfNull(view);
        return (long)Header.Read(view)[StepWord];
    }

    /// <summary>Checks that memory, disk and registers are whole and of the same step.</summary>
    /// <param name="view">The guest; it must not run meanwhile.</param>
    /// <returns>Null, or the first thing found to be wrong.</returns>
    /// <remarks>Recomputes all steps from the seed: time grows with their number.</remarks>
    public static string? Verify(IGuestView view)
    {
        ArgumentNullException.ThrowIfNull(view);
        ReadOnlySpan<ulong> header = Header.Read(view);
        if (header[Header.Magic] != MagicWord)
        {
            return $"PFN {Header.Pfn:x} holds no stepper's header";
        }

        ulong steps = header[StepWord];
        if (view.StepCounter != steps)
        {
            return $"registers are of step {view.StepCounter}, memory is of step {steps}";
        }

        var pages = new Written[(long)header[Pages]];
        var blocks = new Written[view.BlockCount];
        ulong chain = SplitMix.Mix(header[Seed]);
        for (ulong step = 1; step <= steps; step++)
        {
            chain = NextChain(chain, step);
            for (int i = 0; i < (int)header[PagesPerStep]; i++)
            {
                pages[PageOf(chain, i, pages.Length)] = new Written(step, chain);
            }

            if (blocks.Length != 0)
            {
                blocks[BlockOf(chain, blocks.Length)] = new Written(step, chain);
            }
        }

        return chain != header[Chain]
            ? $"the chain of step {steps} is {header[Chain]:x}, not {chain:x}"
            : VerifyDiskStep(view, blocks, steps)
                ?? VerifyAll(pages, "page", 0, view, (long)header[FirstPfn])
                ?? VerifyAll(blocks, "block", BlockSalt, view, 0);
    }

    /// <summary>The newest block tells the step of the disk as a whole.</summary>
    private static string? VerifyDiskStep(IGuestView view, Written[] blocks, ulong steps)
    {
        ulong newest = 0;
        for (long block = 0; block < blocks.Length; block++)
        {
            newest = Math.Max(newest, Header.Words(view.ReadBlock(block))[0]);
        }

        return blocks.Length != 0 && newest != steps
            ? $"the disk is of step {newest}, memory is of step {steps}"
            : null;
    }

    private static string? VerifyAll(Written[] expected, string what, ulong salt, IGuestView view, long first)
    {
        Span<ulong> whole = stackalloc ulong[ModelGuest.PageSize / sizeof(ulong)];
        for (long i = 0; i < expected.Length; i++)
        {
            ReadOnlySpan<ulong> found = Header.Words(salt == 0 ? view.ReadPage(first + i) : view.ReadBlock(i));
            if (expected[i].Step == 0)
            {
                whole.Clear();
            }
            else
            {
                Fill(whole, expected[i].Step, (ulong)i | salt, expected[i].Chain);
            }

            if (!found.SequenceEqual(whole))
            {
                return found[0] == expected[i].Step
                    ? $"{what} {i} of step {found[0]} is damaged"
                    : $"{what} {i} is of step {found[0]}, last written in step {expected[i].Step}";
            }
        }

        return null;
    }

    private static ulong NextChain(ulong chain, ulong step) => SplitMix.Mix(chain ^ step);

    private static long PageOf(ulong chain, int write, long pages) =>
        SplitMix.Below(SplitMix.Mix(chain + (ulong)write), pages);

    private static long BlockOf(ulong chain, long blocks) => SplitMix.Below(SplitMix.Mix(~chain), blocks);

    private static void Fill(Span<ulong> words, ulong step, ulong number, ulong chain)
    {
        words[0] = step;
        words[1] = number;
        words[2] = chain;
        ulong state = chain ^ number;
        for (int i = 3; i < words.Length; i++)
        {
            words[i] = SplitMix.Next(ref state);
        }
    }

    [StructLayout(LayoutKind.Auto)]
    private readonly record struct Written(ulong Step, ulong Chain);
}
