using System.Diagnostics;
using System.Globalization;
using XenTwoLevelCkpt.NativeInterop.Memory;
using XenTwoLevelCkpt.XlStream;

namespace XenTwoLevelCkpt.Hypervisor.Xen;

/// <summary>A domain that is being restored: the stream that <c>xl restore</c> takes, written into its standard input.
/// </summary>
/// <remarks>libxl makes the domain, its devices and its xenstore nodes, so a guest comes back as it does with Xen's own
/// tools.</remarks>
internal sealed class XenRestore : IDomainRestore
{
    // 4 MiB at a time: what one record of the stream takes.
    private static readonly byte[] Zeros = new byte[XlStreamWriter.PagesInRecord * 4096];

    private readonly XenHypervisor _hypervisor;
    private readonly RestoreRequest _request;
    private readonly string[] _arguments = ["restore", "-p", "/proc/self/fd/0"];
    private readonly Process _process;
    private readonly Task<string> _errors;
    private readonly Task<string> _output;
    private readonly XlStreamWriter _writer;
    private readonly PfnRun[] _run = new PfnRun[1];
    private bool _complete;

    internal XenRestore(XenHypervisor hypervisor, RestoreRequest request)
    {
        _hypervisor = hypervisor;
        _request = request;
        if (hypervisor.ListDomains().FirstOrDefault(d => d.Uuid == request.Uuid || d.Name == request.Name) is { } there)
        {
            throw new HypervisorException(
                $"Domain {there.Name ?? $"{there.Uuid}"} is there. 'xl destroy {there.Id}' removes it; with another "
                + "name ('--as NAME') the checkpoint is restored beside it.");
        }

        string json = XlConfig.Rename(request.Configuration.Toolstack, request.Name, request.Uuid);
        (int major, int minor) = Release(request.Configuration.HypervisorVersion);
        var domain = new XlDomain(json, major, minor, XlGuestKind.Hvm);
        DomainRegisters registers = request.Registers;
        var state = new XlHvmState(
            request.Configuration.CpuidPolicy, request.Configuration.MsrPolicy,
            new XlTsc(
                registers.Tsc.Mode, registers.Tsc.ElapsedNanoseconds, registers.Tsc.KiloHertz,
                registers.Tsc.Incarnation),
            registers.HvmParameters, registers.HvmContext);
        _process = XlCommand.Start(_arguments);
        _errors = _process.StandardError.ReadToEndAsync();
        _output = _process.StandardOutput.ReadToEndAsync();
        try
        {
            _writer = XlStreamWriter.Start(_process.StandardInput.BaseStream, domain, state);
        }
        catch (IOException e)
        {
            throw Ended(e);
        }
    }

    /// <inheritdoc/>
    public void AddPages(ReadOnlySpan<PfnRun> runs, ReadOnlySpan<byte> data)
    {
        try
        {
            _writer.WritePages(runs, data);
        }
        catch (IOException e)
        {
            throw Ended(e);
        }
    }

    /// <inheritdoc/>
    public void AddZeroPages(PfnRun run)
    {
        for (long first = run.First; first < run.End; first += XlStreamWriter.PagesInRecord)
        {
            int count = (int)Math.Min(XlStreamWriter.PagesInRecord, run.End - first);
            _run[0] = new PfnRun(first, count);
            AddPages(_run, Zeros.AsSpan(0, count * 4096));
        }
    }

    /// <inheritdoc/>
    public IDomain Complete()
    {
        try
        {
            _writer.Complete();
            _process.StandardInput.Close();
        }
        catch (IOException e)
        {
            throw Ended(e);
        }

        _process.WaitForExit();
        if (_process.ExitCode != 0)
        {
            throw Ended(null);
        }

        _complete = true;
        return _hypervisor.OpenDomain(_request.Uuid);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (!_complete && !_process.HasExited)
        {
            // Its input ends in the middle of the stream: xl gives up and removes the domain.
            try
            {
                _process.StandardInput.Close();
            }
            catch (IOException)
            {
                // What was still buffered has no reader any more.
            }

            _process.WaitForExit();
        }

        _process.Dispose();
    }

    // The reason is what xl says, not that it reads no more.
    private HypervisorException Ended(IOException? cause)
    {
        _process.WaitForExit();
        HypervisorException failure = XlCommand.Failed(
            _arguments, _process.ExitCode, $"{_errors.GetAwaiter().GetResult()}{_output.GetAwaiter().GetResult()}");
        return new HypervisorException($"Domain {_request.Name} could not be restored: {failure.Message}", cause);
    }

    private static (int Major, int Minor) Release(string version)
    {
        string[] parts = version.Split('.');
        return parts.Length >= 2
            && int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out int major)
            && int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out int minor)
                ? (major, minor)
                : throw new HypervisorException($"'{version}' is no release of Xen.");
    }
}
