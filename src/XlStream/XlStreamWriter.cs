using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.XlStream;

/// <summary>Writes a file that <c>xl restore</c> takes, in one pass and without seeking.</summary>
/// <remarks>
/// <para>Start, any number of pages, <see cref="Complete"/>. Of a PFN that comes again the last copy counts. Pages go
/// from the caller's span to the stream; nothing is kept of them.</para>
/// <para>Format: Xen's <c>docs/specs/libxl-migration-stream</c> and <c>libxc-migration-stream</c>, and
/// <c>save_file_header</c> of <c>tools/xl/xl.h</c>. Restored by Xen 4.14 and later.</para>
/// <para>The stream is not closed. After an exception of the stream the file is cut, and this writer refuses to go
/// on.</para>
/// </remarks>
public sealed class XlStreamWriter
{
    /// <summary>The most pages in one record of the file, as in those of libxc. Calls with a multiple of it make the
    /// fewest records; any other number will do.</summary>
    public const int PagesInRecord = LibxcFormat.BatchSize;

    private readonly RecordOutput _output;
    private readonly IGuestRecords _guest;
    private State _state;

    private XlStreamWriter(RecordOutput output, IGuestRecords guest) => (_output, _guest) = (output, guest);

    private enum State
    {
        Open,
        Complete,
        Broken,
    }

    /// <summary>Bytes written.</summary>
    public long BytesWritten => _output.Length;

    /// <summary>Writes the headers and the CPU policies of a PVH guest's file.</summary>
    /// <param name="stream">The file, or a pipe.</param>
    /// <param name="domain">The domain; its configuration must be that of a PVH guest.</param>
    /// <param name="state">Its state.</param>
    /// <returns>The writer, which takes the pages.</returns>
    /// <exception cref="ArgumentException">The domain or its state cannot be written so; nothing was written. An HVM
    /// guest is refused: its device model's state is missing here.</exception>
    public static XlStreamWriter Start(Stream stream, XlDomain domain, XlHvmState state)
    {
        ArgumentNullException.ThrowIfNull(stream);
        ArgumentNullException.ThrowIfNull(state);
        byte[] config = XlHeaders.Check(domain, XlGuestKind.Hvm);
        state.Check(nameof(state));
        return Start(stream, domain, config, new HvmGuestRecords(state));
    }

    /// <summary>Writes the headers, the CPU policies and the list of p2m frames of a PV guest's file.</summary>
    /// <param name="stream">The file, or a pipe.</param>
    /// <param name="domain">The domain; its configuration must be that of a PV guest.</param>
    /// <param name="state">Its state.</param>
    /// <returns>The writer, which takes the pages.</returns>
    /// <exception cref="ArgumentException">The domain or its state cannot be written so; nothing was written.
    /// </exception>
    public static XlStreamWriter Start(Stream stream, XlDomain domain, XlPvState state)
    {
        ArgumentNullException.ThrowIfNull(stream);
        ArgumentNullException.ThrowIfNull(state);
        byte[] config = XlHeaders.Check(domain, XlGuestKind.Pv);
        state.Check(nameof(state));
        return Start(stream, domain, config, new PvGuestRecords(state));
    }

    /// <summary>Writes ordinary pages.</summary>
    /// <param name="runs">Their PFNs.</param>
    /// <param name="data">Their contents, 4096 bytes each, in the order of the runs.</param>
    /// <exception cref="ArgumentException">A run is empty or outside the guest, or <paramref name="data"/> is not as
    /// long as the runs ask for; nothing was written.</exception>
    /// <exception cref="InvalidOperationException">The file is complete, or writing failed before.</exception>
    public void WritePages(ReadOnlySpan<PfnRun> runs, ReadOnlySpan<byte> data)
    {
        ThrowIfNotOpen();
        long pages = 0;
        foreach (PfnRun run in runs)
        {
            // Where First is in range, End cannot overflow.
            if (run.Count <= 0 || (ulong)run.First > (ulong)_guest.LastPfn || run.End - 1 > _guest.LastPfn)
            {
                throw new ArgumentException(
                    $"A run of {run.Count} pages from PFN {run.First} on is empty or outside 0 to {_guest.LastPfn}.",
                    nameof(runs));
            }

            pages += run.Count;
        }

        CheckLength(data, pages);
        _state = State.Broken;
        foreach (PfnRun run in runs)
        {
            for (long pfn = run.First; pfn < run.End; pfn++)
            {
                _output.AddPage(pfn, XlPageType.Normal);
                if (_output.PageRoom == 0)
                {
                    Flush(ref data, PagesInRecord);
                }
            }
        }

        Flush(ref data, data.Length / LibxcFormat.PageSize);
        _state = State.Open;
    }

    /// <summary>Writes pages of any type.</summary>
    /// <param name="pfns">Their PFNs.</param>
    /// <param name="types">What each of them is. Page tables are for PV guests, and hold PFNs in the place of machine
    /// frames.</param>
    /// <param name="data">The contents, 4096 bytes each, of those that have any
    /// (<see cref="XlPageTypes.HasContents"/>).</param>
    /// <exception cref="ArgumentException">The lengths do not agree, a PFN is outside the guest, or a type is none or
    /// not one of this kind of guest; nothing was written.</exception>
    /// <exception cref="InvalidOperationException">The file is complete, or writing failed before.</exception>
    public void WritePages(ReadOnlySpan<long> pfns, ReadOnlySpan<XlPageType> types, ReadOnlySpan<byte> data)
    {
        ThrowIfNotOpen();
        if (types.Length != pfns.Length)
        {
            throw new ArgumentException($"{types.Length} types for {pfns.Length} PFNs.", nameof(types));
        }

        long pages = 0;
        for (int i = 0; i < pfns.Length; i++)
        {
            if ((ulong)pfns[i] > (ulong)_guest.LastPfn)
            {
                throw new ArgumentException($"PFN {pfns[i]} is outside 0 to {_guest.LastPfn}.", nameof(pfns));
            }

            if (!types[i].IsKnown() || (types[i].IsPageTable() && !_guest.HasPageTables))
            {
                throw new ArgumentException($"PFN {pfns[i]} cannot be of type {types[i]} here.", nameof(types));
            }

            pages += types[i].HasContents() ? 1 : 0;
        }

        CheckLength(data, pages);
        _state = State.Broken;
        int contents = 0;
        for (int i = 0; i < pfns.Length; i++)
        {
            _output.AddPage(pfns[i], types[i]);
            contents += types[i].HasContents() ? 1 : 0;
            if (_output.PageRoom == 0)
            {
                Flush(ref data, contents);
                contents = 0;
            }
        }

        Flush(ref data, contents);
        _state = State.Open;
    }

    /// <summary>Writes the state of the virtual machine and the ends of the streams, and flushes.</summary>
    /// <exception cref="InvalidOperationException">The file is complete already, or writing failed before.</exception>
    public void Complete()
    {
        ThrowIfNotOpen();
        _state = State.Broken;
        _guest.WriteEnd(_output);
        _output.Record(LibxcRecordType.End);
        _output.Record((uint)LibxlRecordType.End, [], []);
        _output.Flush();
        _state = State.Complete;
    }

    private static XlStreamWriter Start(Stream stream, XlDomain domain, byte[] config, IGuestRecords guest)
    {
        var output = new RecordOutput(stream);
        XlHeaders.Write(output, config);
        XlHeaders.WriteLibxc(output, domain);
        guest.WriteStart(output);
        return new XlStreamWriter(output, guest);
    }

    private static void CheckLength(ReadOnlySpan<byte> data, long pages)
    {
        if (data.Length != pages * LibxcFormat.PageSize)
        {
            throw new ArgumentException($"{data.Length} bytes for {pages} pages with contents.", nameof(data));
        }
    }

    private void Flush(ref ReadOnlySpan<byte> data, int pages)
    {
        if (_output.PageRoom == PagesInRecord)
        {
            return;
        }

        _output.FlushPages(data[..(pages * LibxcFormat.PageSize)]);
        data = data[(pages * LibxcFormat.PageSize)..];
    }

    private void ThrowIfNotOpen()
    {
        if (_state != State.Open)
        {
            throw new InvalidOperationException(
                _state == State.Complete ? "The file is complete." : "Writing failed before; the file is cut.");
        }
    }
}
