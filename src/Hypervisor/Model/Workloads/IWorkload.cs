using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Hypervisor.Model;

/// <summary>A deterministic program for a model guest.</summary>
/// <remarks>
/// Its parameters and its state lie in guest memory, disk and registers, never in fields, so that a guest
/// restored from an image goes on where the image was taken. Constructor arguments count at boot only. One object
/// runs one guest.
/// </remarks>
public interface IWorkload
{
    /// <summary>Sets up memory and disk of a new guest. Not called for a restored one.</summary>
    /// <param name="vcpu">The machine.</param>
    void Boot(ModelVcpu vcpu);

    /// <summary>Runs one step: what the hypervisor cannot interrupt.</summary>
    /// <param name="vcpu">The machine.</param>
    void Step(ModelVcpu vcpu);
}

/// <summary>Finds the program of a restored guest in its memory.</summary>
public static class WorkloadLoader
{
    /// <summary>The program whose header lies in memory, or null where there is none.</summary>
    /// <param name="view">The guest.</param>
    public static IWorkload? Load(IGuestView view)
    {
        ArgumentNullException.ThrowIfNull(view);
        return Header.Read(view)[Header.Magic] switch
        {
            StepperWorkload.MagicWord => new StepperWorkload(),
            BankWorkload.MagicWord => new BankWorkload(),
            WriterWorkload.MagicWord => new WriterWorkload(),
            _ => null,
        };
    }
}

/// <summary>The page that holds a workload's parameters and state, as 512 words.</summary>
internal static class Header
{
    internal const int Magic = 0;

    /// <summary>At 64 KiB: past the first pages, where a PC has firmware tables.</summary>
    internal const long Pfn = 16;

    /// <summary>The first page that workloads use for data by default.</summary>
    internal const long DataPfn = Pfn + 1;

    /// <summary>Refuses a buffer that is not all RAM, before the guest runs into the gap and crashes.</summary>
    internal static void RequireBuffer(ModelVcpu vcpu, long first, long pages)
    {
        for (long pfn = first - 1; pfn < first + pages; pfn++)
        {
            long needed = pfn < first ? Pfn : pfn;
            if (!vcpu.IsPopulated(needed))
            {
                throw new ArgumentException(
                    $"The workload needs PFN {Pfn:x} and {pages} pages from {first:x}; {needed:x} is not populated.",
                    nameof(pages));
            }
        }
    }

    internal static ReadOnlySpan<ulong> Read(IGuestView view) => Words(view.ReadPage(Pfn));

    internal static Span<ulong> Write(ModelVcpu vcpu) => Words(vcpu.WritePage(Pfn));

    internal static Span<ulong> Words(Span<byte> page) => MemoryMarshal.Cast<byte, ulong>(page);

    internal static ReadOnlySpan<ulong> Words(ReadOnlySpan<byte> page) => MemoryMarshal.Cast<byte, ulong>(page);
}
