using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Store;

namespace XenTwoLevelCkpt.Daemon;

/// <content>What is left to do behind a recovery, and behind one that was interrupted.</content>
public sealed partial class NodeDaemon
{
    // The peers hear of it only once it is on disk: from then on they need not keep what another adoption would take.
    private async Task SettleAsync()
    {
        if (_messages?.ToSettle is null || !await _turn.WaitAsync(0).ConfigureAwait(false))
        {
            return;
        }

        try
        {
            if (_messages.ToSettle is { } node && _file!.State.Pending is null)
            {
                _file.Write(_file.State with
                {
                    Departures = [.. _file.State.Departures.Select(d => d.Node == node ? d with { Settled = true } : d)],
                });
                _messages.Settle(node);
                _log.Settled(node);
            }
        }
        finally
        {
            _ = _turn.Release();
        }
    }

    // What a recovery that has begun its incarnation had still to do when the daemon ended.
    private void FinishRecovery()
    {
        Discard();
        foreach (Guid uuid in _file!.State.Paused)
        {
            try
            {
                using IDomain domain = Hypervisor.OpenDomain(uuid);
                if (domain.GetInfo().State.HasFlag(DomainStates.Paused))
                {
                    domain.Unpause();
                    _platform.Running([domain]);
                    _log.Undone($"Domain {domain.GetInfo().Name ?? $"{uuid}"} was restored by a recovery and runs now.");
                }
            }
            catch (DomainNotFoundException)
            {
                // Gone since.
            }
        }

        if (_file.State.Paused.Count > 0)
        {
            _file.Write(_file.State with { Paused = [] });
        }
    }

    // Newest first: nothing builds upon what goes.
    private void Discard()
    {
        if (_file!.State.Discarded is not { } gone)
        {
            return;
        }

        bool all = true;
        foreach (CheckpointManifest manifest in _store!.Checkpoints.Reverse()
            .Where(m => m.Epoch > gone.After && m.Epoch <= gone.Through))
        {
            _pulse.Beat();
            all &= _store.Remove(manifest.Epoch);
        }

        if (all)
        {
            _file.Write(_file.State with { Discarded = null });
        }
    }

    // Makes the node ready for the same call: as after a restart, without one.
    private async Task BeginAgainAsync(PendingRecovery what)
    {
        if (_stop.IsCancellationRequested)
        {
            return;
        }

        if (_file!.State.Pending is null)
        {
            // The incarnation has begun; the rest can be made good.
            FinishRecovery();
            _quiesced = false;
            StartMessages();
        }
        else if (what.RollsBack && _messages!.Incarnation == what.Order.Incarnation)
        {
            await MakeMessagesAsync().ConfigureAwait(false);
            _messages.Quiesce();
        }

        if (_checkpointer is null)
        {
            OpenCheckpointer();
        }
    }
}
