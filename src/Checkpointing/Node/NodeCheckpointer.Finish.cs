using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;

namespace XenTwoLevelCkpt.Checkpointing.Node;

/// <content>The end of a checkpoint: what was collected is written, or what the epoch had is given up.</content>
public sealed partial class NodeCheckpointer
{
    private CheckpointReport Finish(
        CheckpointDraft draft, CheckpointClosing closing, PhaseTimes phases, TimeSpan pause,
        IProgress<CheckpointProgress>? progress)
    {
        try
        {
            RequireSameMaps();
            RequireSameDevices();
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
            DomainCapture? first = _roster.Present.MinBy(c => c.Uuid);
            ReadOnlyMemory<byte> state = _channels.TakeNodeState();
            foreach (DomainCapture capture in _roster.Present)
            {
                progress?.Report(new CheckpointProgress(CheckpointStage.Writing, (double)done++ / _roster.Present.Count));
                capture.Memory.WriteResidual(_staging);
                Fault?.Invoke(NodeStep.ResidueWritten);
                WriteParts(draft, capture, capture == first ? state : default);
            }

            if (first is null && !state.IsEmpty)
            {
                draft.AddPart(new PartSpec { DomainUuid = CheckpointManifest.NodeId, Content = ImageContent.Channels })
                    .AddBlob(IChannelState.NodeBlob, state.Span);
            }

            report = new CheckpointReport(
                draft.Id, draft.Epoch, closing.Index, closing.Label, closing.Captured, phases, pause,
                [.. _roster.Present.Select(c => c.Report())], [.. _roster.LeftOut]);
            Fault?.Invoke(NodeStep.PartsWritten);
            _ = draft.Commit(closing, _roster.LeftOut, _settings.Before);
        }
        catch (Exception e)
        {
            Abandon(draft, e);
            throw;
        }

        draft.Dispose();
        _draft = null;
        foreach (DomainCapture capture in _roster.Present)
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

        foreach (DomainCapture capture in _roster.Present)
        {
            if (capture.Memory.TypesChanged())
            {
                throw new MapChangedException(capture.Name);
            }
        }
    }

    // A disk that came after the configuration was read would be in the guest's memory, and in no image.
    private void RequireSameDevices() => Each(capture =>
    {
        if (!_roster.HasSameDevices(capture))
        {
            throw new DevicesChangedException(capture.Name);
        }
    });

    private void WriteParts(CheckpointDraft draft, DomainCapture capture, ReadOnlyMemory<byte> nodeState)
    {
        var part = new PartSpec
        {
            DomainUuid = capture.Uuid,
            DomainName = capture.Name,
            Content = ImageContent.Registers,
        };
        new SavedState(capture.Configuration, capture.Registers!, capture.Report(), capture.Memory.PvState)
            .WriteTo(draft.AddPart(part));
        ImageWriter channels = draft.AddPart(part with { Content = ImageContent.Channels });
        capture.WriteChannels(channels, _channels);
        if (!nodeState.IsEmpty)
        {
            channels.AddBlob(IChannelState.NodeBlob, nodeState.Span);
        }

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
        foreach (DomainCapture capture in _roster.Present)
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
