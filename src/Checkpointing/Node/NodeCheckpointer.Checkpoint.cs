using System.Diagnostics;
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

    private bool _compareInWindow;

    // Of the checkpoint that is being taken, or was last.
    private CheckpointSettings _settings = new();

    /// <summary>Takes a checkpoint of all domains together.</summary>
    /// <param name="index">The index k.</param>
    /// <param name="label">A label, or empty.</param>
    /// <param name="progress">Learns how far it is; may be null.</param>
    /// <param name="settings">What is different for this checkpoint from <see cref="NodeOptions"/>; null for nothing.</param>
    /// <param name="cancellationToken">Gives it up before anything is suspended.</param>
    /// <returns>What was done, when the checkpoint is in the store.</returns>
    /// <exception cref="ArgumentException">The label cannot be stored; nothing was done.</exception>
    /// <exception cref="CheckpointFailedException">It did not come about. All guests run, nothing is lost.</exception>
    /// <exception cref="OperationCanceledException">It was given up.</exception>
    public async Task<CheckpointReport> CheckpointAsync(
        ulong index, string label = "", IProgress<CheckpointProgress>? progress = null,
        CheckpointSettings? settings = null, CancellationToken cancellationToken = default)
    {
        if (CheckpointClosing.LabelProblem(label) is { } problem)
        {
            throw new ArgumentException(problem, nameof(label));
        }

        ObjectDisposedException.ThrowIf(_disposed, this);
        await _gate.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            _settings = settings ?? new CheckpointSettings();
            return await Task.Run(
                () => Attempt(index, label, progress, cancellationToken), CancellationToken.None)
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

    private CheckpointReport Attempt(
        ulong index, string label, IProgress<CheckpointProgress>? progress, CancellationToken cancellationToken)
    {
        for (int attempt = 1; ; attempt++)
        {
            try
            {
                return Take(index, label, progress, cancellationToken);
            }
            catch (StagingFullException e) when (attempt < Attempts)
            {
                _tightened++;
                Log?.Invoke(e.Message);
            }
            catch (HypervisorException e) when ((e is DevicesChangedException or MemoryMapGrownException) && attempt < Attempts)
            {
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

    private CheckpointReport Take(
        ulong index, string label, IProgress<CheckpointProgress>? progress, CancellationToken cancellationToken)
    {
        if (ResumeLeft() is { } failure)
        {
            throw new CheckpointFailedException(
                $"A domain is still suspended and could not be resumed: {failure.Message}", failure);
        }

        _roster.Find(_settings, _draft, cancellationToken);
        if (_roster.Present.Count == 0)
        {
            return TakeEmpty(index, label, progress);
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
            Rehearse();
            Each(capture =>
            {
                _roster.Refresh(capture);
                capture.Prepare(draft.Id);
            });
            LookLast(cancellationToken);
            Fault?.Invoke(NodeStep.PagesCopied);
            (phases, pause, captured) = StopAndCollect(progress, cancellationToken);
        }
        catch
        {
            Rollback();
            throw;
        }

        Fault?.Invoke(NodeStep.Resumed);
        if (_roster.Present.Count == 0)
        {
            return TakeEmpty(index, label, progress);
        }

        return Finish(draft, new CheckpointClosing(index, captured, label), phases, pause, progress);
    }

    private CheckpointReport TakeEmpty(ulong index, string label, IProgress<CheckpointProgress>? progress)
    {
        if (!_settings.AllowEmpty)
        {
            throw _roster.NobodyLeft();
        }

        OpenEpoch();
        _channels.Suspended();
        return Finish(
            _draft!, new CheckpointClosing(index, DateTimeOffset.UtcNow, label),
            new PhaseTimes(default, default, default, default, default, default), default, progress);
    }

    // The first checkpoint of a domain copies its whole memory here. Between two pieces it rests, so that guests go on as they did;
    // meanwhile a look at the logs, for which guests stand still, is due only from time to time.
    private void CopyInAdvance(IProgress<CheckpointProgress>? progress, CancellationToken cancellationToken)
    {
        if (_roster.Present.Sum(c => c.Memory.FeedLeft) is > 0 and long all)
        {
            int piece = _settings.Urgent || _options.BackgroundShare >= 1 ? FeedPages : PacedFeedPages;
            long looked = Stopwatch.GetTimestamp();
            TimeSpan pause = _options.MinSampleInterval;
            _ = CopiedSince();
            long left;
            while ((left = _roster.Present.Sum(c => c.Memory.FeedLeft)) > 0)
            {
                cancellationToken.ThrowIfCancellationRequested();
                progress?.Report(new CheckpointProgress(CheckpointStage.Copying, 1 - ((double)left / all)));
                Pacer.Begin();
                Each(capture => Copy(capture, m => _ = m.Feed(piece)));
                if (_options.CacheEntries != 0 && Stopwatch.GetElapsedTime(looked) >= pause)
                {
                    long start = Stopwatch.GetTimestamp();
                    Each(capture => Copy(capture, m => _ = m.Sample()));
                    looked = Stopwatch.GetTimestamp();
                    TimeSpan cheapest = Stopwatch.GetElapsedTime(start, looked) / MaxSamplingShare;
                    pause = cheapest < _options.MinSampleInterval ? _options.MinSampleInterval
                        : cheapest > _options.MaxSampleInterval ? _options.MaxSampleInterval
                        : cheapest;
                }

                SetLimits();
                if (!_settings.Urgent)
                {
                    Pacer.Rest(CopiedSince(), cancellationToken);
                }
            }
        }
    }

    // In rounds, so that the last look at one domain does not grow old while another one's types are compared, or its pages
    // are streamed.
    private void LookLast(CancellationToken cancellationToken)
    {
        Action<IMemoryCapture>[] steps = [m => m.BeginApproach(), m => m.Approach(cancellationToken), m => m.LookLast()];
        foreach (Action<IMemoryCapture> step in steps)
        {
            Each(capture =>
            {
                cancellationToken.ThrowIfCancellationRequested();

                // Without a cache everything stays in the log.
                if (_options.CacheEntries != 0 || capture.Memory.Cache is null)
                {
                    Copy(capture, step);
                }
            });
        }
    }

    // What goes wrong with one domain is that domain's affair, where the operator lets it be left out. A store that cannot be
    // written is everybody's.
    private void Each(Action<DomainCapture> action, Func<DomainCapture, bool>? which = null)
    {
        foreach (DomainCapture capture in _roster.Present.Where(which ?? (_ => true)).ToArray())
        {
            try
            {
                action(capture);
            }
            catch (HypervisorException e) when (!ConcernsAll(e))
            {
                _roster.LeaveOut(capture, e);
            }
        }
    }

    // What is tried again with all.
    private static bool ConcernsAll(Exception e) =>
        e is StagingFullException or MapChangedException or DevicesChangedException or MemoryMapGrownException;

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

    // The guests run. What the logs had goes back to where the next attempt finds it.
    private void Rollback()
    {
        foreach (DomainCapture capture in _roster.Present)
        {
            foreach (ICheckpointedDisk disk in capture.Disks)
            {
                disk.Abandon();
            }

            if (capture.Memory.IncompleteBecause is { } reason)
            {
                // One that is known to be broken has its reason.
                if (!capture.IsBroken)
                {
                    Break(capture, new HypervisorException(reason));
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
}

/// <summary>A guest's configuration changed while it was captured.</summary>
internal sealed class DevicesChangedException(string domain) : HypervisorException(
    $"Devices of domain {domain} were plugged in or taken away while its checkpoint was taken.");

/// <summary>A guest's physical map changed while it was captured.</summary>
internal sealed class MapChangedException(string domain) : HypervisorException(
    $"Pages entered or left the memory of domain {domain} while its checkpoint was taken (its balloon moves).");
