using System.Globalization;
using XenTwoLevelCkpt.NativeInterop.Memory;
using XenTwoLevelCkpt.XlStream;

namespace XenTwoLevelCkpt.Hypervisor.Xen;

/// <summary>Writes a domain as a file that the stock <c>xl restore</c> reads. Needs no Xen.</summary>
public sealed class XlDomainStream : IPageSink
{
    // As many pages as one record of the stream takes.
    private static readonly byte[] Zeros = new byte[XlStreamWriter.PagesInRecord * ForeignPageSize];

    /// <summary>4 KiB: <c>XC_PAGE_SIZE</c>.</summary>
    private const int ForeignPageSize = 4096;

    private readonly XlStreamWriter _writer;
    private readonly PfnRun[] _run = new PfnRun[1];

    /// <summary>Writes everything that comes before the memory.</summary>
    /// <param name="stream">Receives the file; stays open.</param>
    /// <param name="request">What the domain is made of.</param>
    /// <exception cref="ArgumentException">The configuration or the registers are none of a Xen domain.</exception>
    /// <exception cref="IOException">The stream cannot be written.</exception>
    public XlDomainStream(Stream stream, RestoreRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        string json = XlConfig.Rename(request.Configuration.Toolstack, request.Name, request.Uuid);
        (int major, int minor) = Release(request.Configuration.HypervisorVersion);
        DomainRegisters registers = request.Registers;
        var tsc = new XlTsc(
            registers.Tsc.Mode, registers.Tsc.ElapsedNanoseconds, registers.Tsc.KiloHertz, registers.Tsc.Incarnation);
        _writer = XlStreamWriter.Start(
            stream, new XlDomain(json, major, minor, XlGuestKind.Hvm),
            new XlHvmState(
                request.Configuration.CpuidPolicy, request.Configuration.MsrPolicy, tsc, registers.HvmParameters,
                registers.HvmContext));
    }

    /// <inheritdoc/>
    public void AddPages(ReadOnlySpan<PfnRun> runs, ReadOnlySpan<byte> data) => _writer.WritePages(runs, data);

    /// <inheritdoc/>
    public void AddZeroPages(PfnRun run)
    {
        for (long first = run.First; first < run.End; first += XlStreamWriter.PagesInRecord)
        {
            int count = (int)Math.Min(XlStreamWriter.PagesInRecord, run.End - first);
            _run[0] = new PfnRun(first, count);
            _writer.WritePages(_run, Zeros.AsSpan(0, count * ForeignPageSize));
        }
    }

    /// <summary>Writes everything that comes after the memory.</summary>
    /// <exception cref="IOException">The stream cannot be written.</exception>
    public void Complete() => _writer.Complete();

    private static (int Major, int Minor) Release(string version)
    {
        string[] parts = version.Split('.');
        return parts.Length >= 2
            && int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out int major)
            && int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out int minor)
                ? (major, minor)
                : throw new ArgumentException($"'{version}' is no release of Xen.", nameof(version));
    }
}
