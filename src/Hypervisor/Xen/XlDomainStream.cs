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
    private readonly long[] _pfns = new long[XlStreamWriter.PagesInRecord];
    private readonly XlPageType[] _pageTypes = new XlPageType[XlStreamWriter.PagesInRecord];
    private readonly byte[] _contents = new byte[XlStreamWriter.PagesInRecord * ForeignPageSize];
    private readonly ReadOnlyMemory<byte> _types;

    /// <summary>Writes everything that comes before the memory.</summary>
    /// <param name="stream">Receives the file; stays open.</param>
    /// <param name="request">What the domain is made of.</param>
    /// <exception cref="ArgumentException">The configuration or the registers are none of a Xen domain.</exception>
    /// <exception cref="IOException">The stream cannot be written.</exception>
    public XlDomainStream(Stream stream, RestoreRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        string json = XlConfig.Rename(request.Configuration.Toolstack, request.Name, request.Uuid);
        if (XlConfig.Describe(request.Configuration.Toolstack).Uuid is { } original && request.Uuid is { } uuid && uuid != original)
        {
            // A copy, which may run beside its original.
            json = XlConfig.RenewMacs(json, uuid);
        }

        (int major, int minor) = Release(request.Configuration.HypervisorVersion);
        bool isPv = request.Configuration.Kind == GuestKind.Pv;
        var domain = new XlDomain(json, major, minor, isPv ? XlGuestKind.Pv : XlGuestKind.Hvm);
        if (isPv)
        {
            _types = request.PvPageTypes;
            _writer = XlStreamWriter.Start(stream, domain, PvStateOf(request.PvHead));
        }
        else
        {
            _writer = XlStreamWriter.Start(stream, domain, HvmStateOf(request));
        }
    }

    /// <inheritdoc/>
    public void AddPages(ReadOnlySpan<PfnRun> runs, ReadOnlySpan<byte> data)
    {
        if (_types.IsEmpty)
        {
            _writer.WritePages(runs, data);
            return;
        }

        foreach (PfnRun run in runs)
        {
            for (int done = 0; done < run.Count; done += XlStreamWriter.PagesInRecord)
            {
                int count = Math.Min(XlStreamWriter.PagesInRecord, run.Count - done);
                AddTyped(
                    run.First + done, count, data.Slice(done * ForeignPageSize, count * ForeignPageSize));
            }

            data = data[(run.Count * ForeignPageSize)..];
        }
    }

    /// <inheritdoc/>
    public void AddZeroPages(PfnRun run)
    {
        for (long first = run.First; first < run.End; first += XlStreamWriter.PagesInRecord)
        {
            int count = (int)Math.Min(XlStreamWriter.PagesInRecord, run.End - first);
            _run[0] = new PfnRun(first, count);
            AddPages(_run, Zeros.AsSpan(0, count * ForeignPageSize));
        }
    }

    /// <summary>Writes everything that comes after the memory.</summary>
    /// <exception cref="IOException">The stream cannot be written.</exception>
    public void Complete() => _writer.Complete();

    private static XlHvmState HvmStateOf(RestoreRequest request)
    {
        TscInfo tsc = request.Registers.Tsc;
        return new XlHvmState(
            request.Configuration.CpuidPolicy, request.Configuration.MsrPolicy,
            new XlTsc(tsc.Mode, tsc.ElapsedNanoseconds, tsc.KiloHertz, tsc.Incarnation),
            request.Registers.HvmParameters, request.Registers.HvmContext);
    }

    private static XlPvState PvStateOf(ReadOnlyMemory<byte> head)
    {
        var state = new HeadVisitor();
        try
        {
            new XlStreamReader(new MemoryStream(head.ToArray())).ReadToEnd(state);
        }
        catch (XlStreamException e)
        {
            throw new ArgumentException($"The state of the PV guest is damaged: {e.Message}", nameof(head), e);
        }

        return state.ToPvState();
    }

    // Pages whose contents are of no interest are populated and no more.
    private void AddTyped(long first, int count, ReadOnlySpan<byte> data)
    {
        int written = 0, contents = 0;
        for (int i = 0; i < count; i++)
        {
            long pfn = first + i;
            var type = pfn < _types.Length ? (XlPageType)_types.Span[(int)pfn] : XlPageType.Unpopulated;
            if (type is XlPageType.Unpopulated or XlPageType.Broken)
            {
                throw new ArgumentException($"Page {pfn:x} of the PV guest has contents and no type.", nameof(first));
            }

            _pfns[written] = pfn;
            _pageTypes[written++] = type;
            if (type.HasContents())
            {
                data.Slice(i * ForeignPageSize, ForeignPageSize).CopyTo(_contents.AsSpan(contents));
                contents += ForeignPageSize;
            }
        }

        _writer.WritePages(_pfns.AsSpan(0, written), _pageTypes.AsSpan(0, written), _contents.AsSpan(0, contents));
    }

    private sealed class HeadVisitor : XlStateVisitor;

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
