using System.IO.Pipes;
using System.Runtime.ExceptionServices;
using Microsoft.Win32.SafeHandles;
using XenTwoLevelCkpt.Checkpointing.Cache;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.XlStream;

namespace XenTwoLevelCkpt.Checkpointing.Memory;

/// <summary>
/// The memory of a PV guest: libxenguest's live save (<c>xc_domain_save</c>) is the one that reads it, since page tables
/// hold machine addresses; its stream is taken apart, and pages that the last checkpoint has already are left out.
/// </summary>
/// <remarks>
/// A page counts as unchanged when its hash is: 16 octets a page are kept between checkpoints.
/// Two threads: one runs the save, one takes its stream apart. The save calls back when only a suspended guest can give
/// the rest, and waits there until the whole node is suspended. Where the hypervisor has no dirty log for PV guests, that is
/// everything.
/// </remarks>
internal sealed class PvMemoryCapture(IDomain domain, StagingArea staging) : IMemoryCapture
{
    private readonly PvPageStore _pages = new(domain.GetPfnCount(), staging);
    private Save? _save;

    public long PfnCount => _pages.PfnCount;

    public long PopulatedPages => _pages.PopulatedPages;

    public long FeedLeft => 0;

    public string? IncompleteBecause { get; private set; }

    public DirtyPageCache? Cache => null;

    public MemoryStatistics Statistics => _pages.Statistics;

    public PvMemoryState? PvState { get; private set; }

    public void BeginEpoch(ImageWriter writer, bool full) => _pages.BeginEpoch(writer, full);

    public long Sample() => 0;

    public int Feed(int maxPages) => 0;

    // Beside those of other domains: the residue of one that is ready grows for as long as another still streams.
    public void BeginApproach()
    {
        _save?.Abandon();
        _save = null;
        PvState = null;
        _pages.BeginStream();
        RequireSize();
        _save = new Save(domain, _pages);
    }

    // Everything but the rest is in the image when this returns.
    public void Approach(CancellationToken cancellationToken)
    {
        if (_save is null)
        {
            BeginApproach();
        }

        Following(() => _save!.WaitUntilReady(cancellationToken));
    }

    // The library looks itself.
    public void LookLast() => domain.PrepareCapture([]);

    public int LookAgain(int most) => 0;

    public void Collect(StagingArea staging, bool compareTypes)
    {
        _pages.Stage();
        Following(() => PvState = _save!.Finish());
    }

    // A guest that is still booting, or is given more memory, gets PFNs that nothing here has room for.
    private void Following(Action action)
    {
        try
        {
            action();
        }
        catch (MemoryMapGrownException e)
        {
            IncompleteBecause = e.Message;
            throw;
        }
    }

    // The log is the library's own, which it switches off itself; what the guest was given since has no place in its stream.
    public void Confirm() => RequireSize();

    private void RequireSize() => Following(() =>
    {
        long now = domain.GetPfnCount();
        if (now > PfnCount)
        {
            throw new MemoryMapGrownException(PfnCount, now);
        }
    });

    public bool TypesChanged() => false;

    public void WriteResidual(StagingArea staging)
    {
        _save = null;
        _pages.WriteStaged();
    }

    public void Rollback()
    {
        _save?.Abandon();
        _save = null;
        _pages.DropStaged();
    }

    // What the image has is known by its hashes, which are those of the last checkpoint no more.
    public bool TryStepAside()
    {
        Rollback();
        return false;
    }

    public void Dispose() => Rollback();

    /// <summary>One run of <c>xc_domain_save</c>.</summary>
    private sealed class Save
    {
        private readonly TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource _go = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly Task _saving;
        private readonly Task<PvMemoryState> _reading;
        private volatile bool _abandoned;

        internal Save(IDomain domain, PvPageStore pages)
        {
            var pipe = new AnonymousPipeServerStream(PipeDirection.In);
            _saving = Task.Factory.StartNew(
                () => Write(domain, pipe), CancellationToken.None, TaskCreationOptions.LongRunning,
                TaskScheduler.Default);
            _reading = Task.Factory.StartNew(
                () => Read(pipe, pages), CancellationToken.None, TaskCreationOptions.LongRunning,
                TaskScheduler.Default);
        }

        internal void WaitUntilReady(CancellationToken cancellationToken)
        {
            try
            {
                _ready.Task.Wait(cancellationToken);
            }
            catch (OperationCanceledException)
            {
                Abandon();
                throw;
            }

            if (_saving.IsCompleted)
            {
                _ = Finish();
            }
        }

        /// <summary>Lets the save copy the rest, and waits for it.</summary>
        internal PvMemoryState Finish()
        {
            _ = _go.TrySetResult();
            Task both = Task.WhenAll(_saving, _reading);
            ((IAsyncResult)both).AsyncWaitHandle.WaitOne();

            // What the save says is the cause; that its stream then ends too early is not.
            Exception? failure = _saving.Exception?.InnerException ?? _reading.Exception?.InnerException;
            if (failure is XlStreamException or IOException)
            {
                throw new HypervisorException($"The guest's stream makes no sense: {failure.Message}", failure);
            }

            if (failure is not null)
            {
                ExceptionDispatchInfo.Throw(failure);
            }

            return _reading.Result;
        }

        internal void Abandon()
        {
            _abandoned = true;
            _ = _go.TrySetResult();
            Task both = Task.WhenAll(_saving, _reading);
            ((IAsyncResult)both).AsyncWaitHandle.WaitOne();
            _ = both.Exception;
        }

        private void Write(IDomain domain, AnonymousPipeServerStream pipe)
        {
            try
            {
                using var handle = new SafeFileHandle(pipe.ClientSafePipeHandle.DangerousGetHandle(), ownsHandle: false);
                domain.SaveStream(handle, () =>
                {
                    _ = _ready.TrySetResult();
                    _go.Task.Wait();
                    if (_abandoned)
                    {
                        throw new OperationCanceledException("The checkpoint was given up.");
                    }
                });
            }
            finally
            {
                // The reader sees the end of the stream.
                pipe.DisposeLocalCopyOfClientHandle();
                _ = _ready.TrySetResult();
            }
        }

        private static PvMemoryState Read(AnonymousPipeServerStream pipe, PvPageStore pages)
        {
            using (pipe)
            {
                try
                {
                    var visitor = new PvVisitor(pages);
                    new LibxcStreamReader(pipe).ReadToEnd(visitor);
                    return new PvMemoryState(visitor.ToHead(), pages.TakeTypes());
                }
                finally
                {
                    // A save that nobody reads would block for ever, with the guest suspended.
                    pipe.CopyTo(Stream.Null);
                }
            }
        }
    }

    private sealed class PvVisitor(PvPageStore pages) : XlStateVisitor
    {
        public override void OnPages(
            ReadOnlySpan<long> pfns, ReadOnlySpan<XlPageType> types, ReadOnlySpan<byte> data) =>
            pages.Add(pfns, types, data);

        internal byte[] ToHead()
        {
            using var head = new MemoryStream();
            XlStreamWriter.Start(head, new XlDomain(EmptyConfig, Xen.Major, Xen.Minor, XlGuestKind.Pv), ToPvState())
                .Complete();
            return head.ToArray();
        }

        // The configuration has a place of its own.
        private const string EmptyConfig = """{"c_info":{"type":"pv","name":"pv"}}""";
    }
}
