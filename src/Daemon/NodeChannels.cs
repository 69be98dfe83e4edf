using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Daemon.Checkpoints;
using XenTwoLevelCkpt.Daemon.Recovery;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Store;

namespace XenTwoLevelCkpt.Daemon;

/// <summary>The node's messages, with the way of frames below them. A stop in good order parks the channels, and the next process
/// takes them up; after any other end the node has to go through a recovery (<see cref="INodeMessages.AwaitsRecovery"/>).</summary>
internal sealed class NodeChannels : IAsyncDisposable
{
    private readonly NodeCore _core;
    private readonly DirectoryStore _store;
    private readonly NodeStateFile _file;
    private readonly CheckpointQueue _queue;
    private readonly Func<NodeOrigin, INodeMessages> _make;
    private readonly IUplink? _uplink;
    private volatile INodeMessages _messages;
    private bool _started;

    /// <summary>Opens the way of frames and makes the messages; nothing is connected.</summary>
    /// <param name="core">The node.</param>
    /// <param name="store">Its store.</param>
    /// <param name="file">Its record.</param>
    /// <param name="queue">Learns of checkpoints that the messages begin.</param>
    /// <param name="make">Makes the messages.</param>
    /// <exception cref="IOException">The way of frames or the channel log cannot be opened.</exception>
    /// <exception cref="SettingsException">The settings ask for messages that are not there.</exception>
    /// <exception cref="InvalidDataException">The channel log is damaged.</exception>
    internal NodeChannels(
        NodeCore core, DirectoryStore store, NodeStateFile file, CheckpointQueue queue, Func<NodeOrigin, INodeMessages> make)
    {
        (_core, _store, _file, _queue, _make) = (core, store, file, queue, make);
        _uplink = core.Settings.Nodes.Count > 1 ? core.Platform.OpenUplink(core.Settings) : null;
        try
        {
            _messages = Make();
        }
        catch
        {
            _uplink?.Dispose();
            throw;
        }
    }

    /// <summary>The messages.</summary>
    internal INodeMessages Messages => _messages;

    /// <summary>The messages as a recovery sees them.</summary>
    internal MessagesState Now
    {
        get
        {
            INodeMessages messages = _messages;
            return new MessagesState(
                messages.Index, messages.Incarnation, messages.AwaitsRecovery, messages.AwaitsAdoption, Raises: _queue.Schedule.Begun is not null);
        }
    }

    /// <summary>Makes the messages anew, in the place of those that are there.</summary>
    internal async Task MakeAgainAsync()
    {
        await _messages.DisposeAsync().ConfigureAwait(false);
        _messages = Make();
        _started = false;
    }

    /// <summary>Messages carry frames, and are started where they were not.</summary>
    internal void Start()
    {
        if (_started)
        {
            _messages.Resume();
            return;
        }

        _started = true;
        if (_file.State.Parked is not null)
        {
            // From here on they are of the past.
            _file.Unpark();
            if (!_messages.AwaitsRecovery)
            {
                _core.Log.TakenUp(_messages.Index);
            }
        }

        _messages.Start();
    }

    /// <summary>Has the channel log keep what the oldest checkpoint in the store needs.</summary>
    internal void TellOldest() => _messages.OldestKept = _store.OldestIndex(_file.State);

    /// <summary>Has the peers hear what is on disk of lost nodes.</summary>
    internal void TellSettled() => _messages.SettledIncarnation = RecoveryChoices.SettledIncarnation(_file.State);

    /// <summary>Stops all frames, and gives up a checkpoint that has begun.</summary>
    internal void Stop()
    {
        // A batch may force a checkpoint at any moment before the messages stand still, and says so a moment later.
        while (!TryQuiesce())
        {
            Thread.Sleep(1);
        }
    }

    /// <summary>Ends the messages in good order.</summary>
    internal async Task ParkAsync()
    {
        try
        {
            if (await _messages.ParkAsync().ConfigureAwait(false) is { } parked && _core.Platform.Life is { } life)
            {
                _file.Park(parked, new ParkedLife(
                    life, _store.LastEpoch(), _core.Hypervisor.ListDomains().Where(d => d.Id != 0).ToDictionary(d => d.Uuid, d => d.Id)));
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or HypervisorException)
        {
            _core.Log.NotParked(e);
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _messages.DisposeAsync().ConfigureAwait(false);
        _uplink?.Dispose();
    }

    /// <summary>Closes the way of frames.</summary>
    internal void CloseUplink() => _uplink?.Dispose();

    // The store tells the index: a manifest is there before the checkpoint's label becomes the index.
    private INodeMessages Make()
    {
        NodeRecord state = _file.State;
        long index = Math.Max(state.Index, _store.Standing(state).Select(m => (long)m.Closing.Index).DefaultIfEmpty().Max());
        INodeMessages messages = _make(new NodeOrigin(_core.Settings, _queue, index, state.Incarnation, _uplink, _core.Logger, Parked())
        {
            Lost = state.Departures,
        });

        // The store lies where the operator wants checkpoints to be safe: what is committed there is durable.
        messages.DurableIndex = index;
        messages.OldestKept = _store.OldestIndex(state);
        messages.SettledIncarnation = RecoveryChoices.SettledIncarnation(state);
        if (messages.AwaitsRecovery && state.Pending is null)
        {
            _core.Log.AwaitsRecovery(index);
        }

        return messages;
    }

    private bool TryQuiesce()
    {
        GiveUpBegun();
        try
        {
            _messages.Quiesce();
            return true;
        }
        catch (InvalidOperationException)
        {
            return false;
        }
    }

    // A message may have begun a checkpoint since the last turn ended.
    private void GiveUpBegun()
    {
        if (_queue.GiveUpBegun())
        {
            _messages.CheckpointFailed();
        }
    }

    // What the process before this one parked, where everything is as it left it.
    private ReadOnlyMemory<byte>? Parked()
    {
        if (_file.State.Parked is not { } parked)
        {
            return null;
        }

        string? why = _file.State.Pending is not null ? "a recovery has begun"
            : parked.Life != _core.Platform.Life ? "the host has been started anew since"
            : parked.Epoch != _store.LastEpoch() ? "checkpoints have been taken or removed since"
            : Returned(parked) is { } domain ? $"domain {domain} has been created anew since"
            : null;
        if (why is null)
        {
            try
            {
                return _file.ReadParked();
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                why = e.Message;
            }
        }

        _core.Log.NotTakenUp(why);
        return null;
    }

    // A domain that may be one of a past: its peers have received what it is going to send.
    private string? Returned(ParkedLife parked)
    {
        HashSet<Guid> stored = _store.Checkpoints is [.., CheckpointManifest last] ? [.. last.Domains.Select(d => d.Uuid)] : [];
        return _core.Hypervisor.ListDomains().FirstOrDefault(d => d.Id != 0
            && (parked.Domains.TryGetValue(d.Uuid, out int id) ? id != d.Id : stored.Contains(d.Uuid)))?.Name;
    }
}
