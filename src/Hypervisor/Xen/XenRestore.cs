using System.Diagnostics;
using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Hypervisor.Xen;

/// <summary>A domain that is being restored: the stream that <c>xl restore</c> takes, written into its standard input.
/// </summary>
/// <remarks>libxl makes the domain, its devices and its xenstore nodes, so a guest comes back as it does with Xen's own
/// tools.</remarks>
internal sealed class XenRestore : IDomainRestore
{
    private readonly XenHypervisor _hypervisor;
    private readonly RestoreRequest _request;
    /// <summary>How long xl may take nothing, or need for the domain's devices when it has all: several hotplug scripts,
    /// one after the other, of <see cref="XlCommand.Limit"/> each at most.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    private readonly string[] _arguments = ["restore", "-p", "/proc/self/fd/0"];
    private readonly Timer _watch;
    private readonly Process _process;
    private readonly Task<string> _errors;
    private readonly Task<string> _output;
    private readonly XlDomainStream _stream;
    private volatile bool _stalled;
    private bool _complete;

    internal XenRestore(XenHypervisor hypervisor, RestoreRequest request)
    {
        _hypervisor = hypervisor;
        _request = request;

        // One that is being destroyed keeps its entry until the last of its pages is given back; it has no name any more.
        if (hypervisor.ListDomains().FirstOrDefault(d => !d.State.HasFlag(DomainStates.Dying)
                && (d.Uuid == request.Uuid || d.Name == request.Name)) is { } there)
        {
            throw new HypervisorException(
                $"Domain {there.Name ?? $"{there.Uuid}"} is there. 'xl destroy {there.Id}' removes it; with another "
                + "name ('--as NAME') the checkpoint is restored beside it.");
        }

        (string program, string[] arguments) = OwnScope.Around("xl", _arguments);
        _process = XlCommand.Start(program, arguments);
        _watch = new Timer(_ => EndIfStalled(), null, Patience, Timeout.InfiniteTimeSpan);
        _errors = _process.StandardError.ReadToEndAsync();
        _output = _process.StandardOutput.ReadToEndAsync();
        try
        {
            _stream = new XlDomainStream(_process.StandardInput.BaseStream, request);
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
            _stream.AddPages(runs, data);
            Moved();
        }
        catch (IOException e)
        {
            throw Ended(e);
        }
    }

    /// <inheritdoc/>
    public void AddZeroPages(PfnRun run)
    {
        try
        {
            _stream.AddZeroPages(run);
            Moved();
        }
        catch (IOException e)
        {
            throw Ended(e);
        }
    }

    /// <inheritdoc/>
    public IDomain Complete()
    {
        try
        {
            _stream.Complete();
            _process.StandardInput.Close();
            Moved();
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

        _watch.Dispose();
        _process.Dispose();
    }

    private void Moved() => _ = _watch.Change(Patience, Timeout.InfiniteTimeSpan);

    // Whoever writes to it, or waits for its end, goes on then.
    private void EndIfStalled()
    {
        try
        {
            _stalled = true;
            _process.Kill(entireProcessTree: true);
        }
        catch (InvalidOperationException)
        {
            // It has just ended, or this object has.
        }
    }

    // The reason is what xl says, not that it reads no more.
    private HypervisorException Ended(IOException? cause)
    {
        _process.WaitForExit();
        HypervisorException failure = _stalled ? XlCommand.TookTooLong(_arguments, Patience) : XlCommand.Failed(
            _arguments, _process.ExitCode, $"{_errors.GetAwaiter().GetResult()}{_output.GetAwaiter().GetResult()}");
        return new HypervisorException($"Domain {_request.Name} could not be restored: {failure.Message}", cause);
    }
}
