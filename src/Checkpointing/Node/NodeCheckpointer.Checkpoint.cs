using System.Diagnostics;
using System.Runtime.ExceptionServices;
using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Checkpointing.Memory;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;

namespace XenTwoLevelCkpt.Checkpointing.Node;

/// <content>The checkpoint itself: design "The node checkpoint", steps 1 to 6.</content>
public sealed partial class NodeCheckpointer
{
    /// <summary>Attempts of one checkpoint: a second one where pages entered or left a guest's physical map while it was
    /// taken, or more were dirty than fit; a third for the guest that does both.</summary>
    private const int Attempts = 3;

    private TimeSpan[] _memoryTimes = [];
    private TimeSpan[] _registerTimes = [];
    private TimeSpan[] _diskTimes = [];
    private TimeSpan[] _channelTimes = [];
    private bool _compareInWindow;

    /// <summary>Takes a checkpoint of all domains together.</summary>
    /// <param name="index">The index k.</param>
    /// <param name="label">A label, or empty.</param>
    /// <param name="progress">Learns how far it is; may be null.</param>
    /// <param name="cancellationToken">Gives it up before anything is suspended.</param>
    /// <returns>What was done, when the checkpoint is in the store.</returns>
    /// <exception cref="CheckpointFailedException">It did not come about. All guests run, nothing is lost.</exception>
    /// <exception cref="OperationCanceledException">It was given up.</exception>
    public async Task<CheckpointReport> CheckpointAsync(
        ulong index, string label = "", IProgress<CheckpointProgress>? progress = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(label);
        ObjectDisposedException.ThrowIf(_disposed, this);
        await _gate.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            return await Task.Run(
                () => AttemptAsync(index, label, progress, cancellationToken), CancellationToken.None)
                .ConfigureAwait(false);
        }
        catch (Exception e) when (e is HypervisorException or IOException or InvalidDataException)
        {
            throw new CheckpointFailedException($"The checkpoint failed: {e.Message}", e);
        }
        finally
        {
            _ = _gate.Release();
        }
    }

    private async Task<CheckpointReport> AttemptAsync(
        ulong index, string label, IProgress<CheckpointProgress>? progress, CancellationToken cancellationToken)
    {
        for (int attempt = 1; ; attempt++)
        {
            try
            {
                return await TakeAsync(index, label, progress, cancellationToken).ConfigureAwait(false);
            }
            catch (StagingFullException e) when (attempt < Attempts)
            {
                _tightened++;
                Log?.Invoke(e.Message);
            }
            catch (MapChangedException e) when (attempt < Attempts)
            {
                _compareInWindow = true;
                Log?.Invoke(e.Message);
            }
            finally
            {
                if (attempt == Attempts)
                {
                    _tightened = 0;
                    _compareInWindow = false;
                }
            }
        }
    }

    private async Task<CheckpointReport> TakeAsync(
        ulong index, string label, IProgress<CheckpointProgress>? progress, CancellationToken cancellationToken)
    {
        if (ResumeLeft() is { } failure)
        {
            throw new CheckpointFailedException(
                $"A domain is still suspended and could not be resumed: {failure.Message}", failure);
        }

        FindDomains();
        if (_captures.Count == 0)
        {
            throw new CheckpointFailedException("There is no domain to checkpoint.");
        }

        Fault?.Invoke(NodeStep.DomainsFound);
        OpenEpoch();
        CheckpointDraft draft = _draft!;
        PhaseTimes phases;
        TimeSpan pause;
        DateTimeOffset captured;
        try
        {
            CopyInAdvance(progress, cancellationToken);
            Fault?.Invoke(NodeStep.PagesCopied);
            _captures.ForEach(c => c.Prepare(draft.Id));
            (phases, pause, captured) = await StopAndCollectAsync(progress, cancellationToken).ConfigureAwait(false);
        }
        catch
        {
            Rollback();
            throw;
        }

        Fault?.Invoke(NodeStep.Resumed);
        return Finish(draft, new CheckpointClosing(index, captured, label), phases, pause, progress);
    }

    // The first checkpoint of a domain copies its whole memory here. The last look comes right before the suspension.
    private void CopyInAdvance(IProgress<CheckpointProgress>? progress, CancellationToken cancellationToken)
    {
        if (_captures.Sum(c => c.Memory.FeedLeft) is > 0 and long all)
        {
            long left;
            while ((left = _captures.Sum(c => c.Memory.FeedLeft)) > 0)
            {
                cancellationToken.ThrowIfCancellationRequested();
                progress?.Report(new CheckpointProgress(CheckpointStage.Copying, 1 - ((double)left / all)));
                foreach (DomainCapture capture in _captures)
                {
                    Copy(capture, m => _ = m.Feed(FeedPages));
                    if (_options.CacheEntries != 0)
                    {
                        Copy(capture, m => _ = m.Sample());
                    }
                }

                SetLimits();
            }
        }

        foreach (DomainCapture capture in _captures)
        {
            cancellationToken.ThrowIfCancellationRequested();

            // Without a cache everything stays in the log.
            if (_options.CacheEntries != 0 || capture.Memory.Cache is null)
            {
                Copy(capture, m => m.Approach(cancellationToken));
            }
        }
    }

    private void Copy(DomainCapture capture, Action<IMemoryCapture> action)
    {
        try
        {
            action(capture.Memory);
        }
        catch (Exception e) when (e is HypervisorException or IOException)
        {
            Break(capture, e);
            throw;
        }
    }

    private async Task<(PhaseTimes Phases, TimeSpan Pause, DateTimeOffset Captured)> StopAndCollectAsync(
        IProgress<CheckpointProgress>? progress, CancellationToken cancellationToken)
    {
        progress?.Report(new CheckpointProgress(CheckpointStage.Suspending, 0));
        PrepareWindow();
        _intent.SetSuspended(_captures.Select(c => c.Uuid));
        bool quiet = false;
        long start = 0;
        IReadOnlyList<Exception?> failures = [];
        Exception? resumeFailure = null;
        TimeSpan suspended = default, collected = default, resumed = default;
        DateTimeOffset captured = default;
        try
        {
            Fault?.Invoke(NodeStep.IntentWritten);
            quiet = QuietWindow.TryBegin();
            start = Stopwatch.GetTimestamp();
            await SuspendAllAsync(cancellationToken).ConfigureAwait(false);
            suspended = Stopwatch.GetElapsedTime(start);
            captured = DateTimeOffset.UtcNow;
            Fault?.Invoke(NodeStep.Suspended);
            failures = _crew.Run();
            Fault?.Invoke(NodeStep.Collected);
            collected = Stopwatch.GetElapsedTime(start);
        }
        finally
        {
            resumeFailure = ResumeAll();
            resumed = Stopwatch.GetElapsedTime(start);
            if (quiet)
            {
                QuietWindow.End();
            }
        }

        if (resumeFailure is not null)
        {
            throw new HypervisorException($"A domain could not be resumed: {resumeFailure.Message}", resumeFailure);
        }

        _intent.SetSuspended([]);
        ThrowFirst(failures);
        for (int i = 0; i < _captures.Count; i++)
        {
            _captures[i].SetPhases(_memoryTimes[i], _registerTimes[i], _diskTimes[i], _channelTimes[i]);
        }

        return (new PhaseTimes(
            suspended, _registerTimes.Max(), _memoryTimes.Max(), _diskTimes.Max(), _channelTimes.Max(),
            resumed - collected),
            resumed, captured);
    }

    // A domain's items of work are as many as there are domains apart; its memory is the first.
    private void ThrowFirst(IReadOnlyList<Exception?> failures)
    {
        for (int i = 0; i < _captures.Count; i++)
        {
            if (failures[i] is { } failure && _captures[i].Memory.IsIncomplete)
            {
                Break(_captures[i], failure);
            }
        }

        for (int i = 0; i < failures.Count; i++)
        {
            if (failures[i] is { } failure)
            {
                throw Known(_captures[i % _captures.Count], failure);
            }
        }
    }

    private static Exception Known(DomainCapture capture, Exception failure) => failure switch
    {
        HypervisorException or IOException => failure,
        _ => new HypervisorException($"Domain {capture.Name} could not be captured: {failure.Message}", failure),
    };

    private void PrepareWindow()
    {
        int count = _captures.Count;
        _staging.Clear();
        _memoryTimes = new TimeSpan[count];
        _registerTimes = new TimeSpan[count];
        _diskTimes = new TimeSpan[count];
        _channelTimes = new TimeSpan[count];

        // Memory first: it takes longest.
        _crew.Prepare(
            item =>
            {
                if (item < count)
                {
                    Fault?.Invoke(NodeStep.CollectingMemory);
                    _memoryTimes[item] = _captures[item].CollectMemory(
                        _staging, _compareInWindow || _options.CacheEntries == 0);
                }
                else
                {
                    Fault?.Invoke(NodeStep.CollectingState);
                    DomainCapture capture = _captures[item - count];
                    _registerTimes[item - count] = capture.CollectRegisters();
                    _diskTimes[item - count] = capture.SealDisks();
                    _channelTimes[item - count] = capture.CollectChannels(_channels);
                }
            },
            2 * count);
    }

    // All at once, with one deadline. Where one fails, the others are not waited for.
    private async Task SuspendAllAsync(CancellationToken cancellationToken)
    {
        using var giveUp = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        Task[] suspensions = [.. _captures.Select(c => SuspendAsync(c, giveUp))];
        Task all = Task.WhenAll(suspensions);
        await all.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (all.IsCompletedSuccessfully)
        {
            return;
        }

        // The reason, not the cancellations that follow from it.
        Exception? reason = suspensions
            .SelectMany(t => t.Exception?.InnerExceptions ?? Enumerable.Empty<Exception>())
            .FirstOrDefault(e => e is not OperationCanceledException);
        if (reason is not null)
        {
            ExceptionDispatchInfo.Throw(reason);
        }

        await all.ConfigureAwait(false);
    }

    private async Task SuspendAsync(DomainCapture capture, CancellationTokenSource giveUp)
    {
        try
        {
            await capture.SuspendAsync(_options.SuspendTimeout, giveUp.Token).ConfigureAwait(false);
        }
        catch
        {
            await giveUp.CancelAsync().ConfigureAwait(false);
            throw;
        }
    }

    // Every domain is tried, whatever happens to another.
    private Exception? ResumeAll()
    {
        Exception? failure = null;
        foreach (DomainCapture capture in _captures)
        {
            if (!capture.Suspended)
            {
                continue;
            }

            try
            {
                capture.Resume();
            }
            catch (DomainNotFoundException)
            {
                capture.Suspended = false;
            }
            catch (HypervisorException e)
            {
                failure ??= e;
            }
        }

        return failure;
    }

    // Domains that a failed attempt could not resume.
    private Exception? ResumeLeft() => _captures.Exists(c => c.Suspended) ? ResumeAll() : null;

    // The guests run. What the logs had goes back to where the next attempt finds it.
    private void Rollback()
    {
        foreach (DomainCapture capture in _captures)
        {
            foreach (ICheckpointedDisk disk in capture.Disks)
            {
                disk.Abandon();
            }

            if (capture.Memory.IsIncomplete)
            {
                // One that is known to be broken has its reason.
                if (!capture.IsBroken)
                {
                    Break(capture, new HypervisorException("its dirty log is not complete any more"));
                }
            }
            else
            {
                _ = Guarded(capture, () =>
                {
                    capture.Memory.Rollback();
                    return 0;
                });
            }
        }
    }

    private CheckpointReport Finish(
        CheckpointDraft draft, CheckpointClosing closing, PhaseTimes phases, TimeSpan pause,
        IProgress<CheckpointProgress>? progress)
    {
        try
        {
            RequireSameMaps();
        }
        catch
        {
            Rollback();
            throw;
        }

        CheckpointReport report;
        try
        {
            int done = 0;
            foreach (DomainCapture capture in _captures)
            {
                progress?.Report(new CheckpointProgress(CheckpointStage.Writing, (double)done++ / _captures.Count));
                capture.Memory.WriteResidual(_staging);
                Fault?.Invoke(NodeStep.ResidueWritten);
                WriteParts(draft, capture);
            }

            report = new CheckpointReport(
                draft.Id, draft.Epoch, closing.Index, closing.Label, closing.Captured, phases, pause,
                [.. _captures.Select(c => c.Report())]);
            Fault?.Invoke(NodeStep.PartsWritten);
            _ = draft.Commit(closing);
        }
        catch (Exception e)
        {
            Abandon(draft, e);
            throw;
        }

        draft.Dispose();
        _draft = null;
        foreach (DomainCapture capture in _captures)
        {
            capture.Last = draft.Id;
            capture.FullBecause = null;
            foreach (ICheckpointedDisk disk in capture.Disks)
            {
                disk.Keep();
            }
        }

        _tightened = 0;
        _compareInWindow = false;
        progress?.Report(new CheckpointProgress(CheckpointStage.Done, 1));
        OpenNextEpoch();
        Fault?.Invoke(NodeStep.Committed);
        return report;
    }

    // Pages that entered or left a physical map between the last comparison and the suspension would be missing, or too
    // many. That they did is seen now, with the guests running; when, is not.
    private void RequireSameMaps()
    {
        if (_compareInWindow || _options.CacheEntries == 0)
        {
            return;
        }

        foreach (DomainCapture capture in _captures)
        {
            if (capture.Memory.TypesChanged())
            {
                throw new MapChangedException(capture.Name);
            }
        }
    }

    private void WriteParts(CheckpointDraft draft, DomainCapture capture)
    {
        var part = new PartSpec
        {
            DomainUuid = capture.Uuid,
            DomainName = capture.Name,
            Content = ImageContent.Registers,
        };
        new SavedState(capture.Configuration, capture.Registers!, capture.Report(), capture.Memory.PvState)
            .WriteTo(draft.AddPart(part));
        capture.WriteChannels(draft.AddPart(part with { Content = ImageContent.Channels }), _channels);
        foreach (ICheckpointedDisk disk in capture.Disks)
        {
            Guid since = capture.Last != Guid.Empty && disk.CanBuildUpon(capture.Last) ? capture.Last : Guid.Empty;
            disk.Write(
                draft.AddPart(part with
                {
                    Content = disk.Content,
                    Disk = disk.Info,
                    ParentId = since,
                    UnitSize = disk.BlockSize,
                    UnitCount = disk.BlockSize == 0 ? 0 : (disk.Info.Length + disk.BlockSize - 1) / disk.BlockSize,
                }),
                since);
        }
    }

    // What the epoch's images had is gone with them.
    private void Abandon(CheckpointDraft draft, Exception cause)
    {
        draft.Dispose();
        _draft = null;
        foreach (DomainCapture capture in _captures)
        {
            Break(capture, cause);
            foreach (ICheckpointedDisk disk in capture.Disks)
            {
                disk.Abandon();
            }
        }
    }

    // From here on pages are saved for the next checkpoint. Where it cannot be opened now, the next checkpoint opens it,
    // and Xen's logs keep what is dirty until then.
    private void OpenNextEpoch()
    {
        try
        {
            OpenEpoch();
        }
        catch (Exception e) when (e is HypervisorException or IOException)
        {
            Log?.Invoke($"The next epoch could not be opened yet: {e.Message}");
        }
    }
}

/// <summary>A guest's physical map changed while it was captured.</summary>
internal sealed class MapChangedException(string domain) : HypervisorException(
    $"Pages entered or left the memory of domain {domain} while its checkpoint was taken (its balloon moves).");
