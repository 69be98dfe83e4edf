using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Store;

namespace XenTwoLevelCkpt.Daemon;

/// <content>A stop of the daemon in good order: the next process takes the channels up where this one leaves them. After any
/// other end the node has to go through a recovery (<see cref="Channels.INodeMessages.AwaitsRecovery"/>).</content>
public sealed partial class NodeDaemon
{
    private async Task ParkAsync()
    {
        if (_messages is null)
        {
            return;
        }

        try
        {
            if (await _messages.ParkAsync().ConfigureAwait(false) is { } channels && _platform.Life is { } life)
            {
                _file!.Park(channels, new ParkedLife(
                    life, LastEpoch, Hypervisor.ListDomains().Where(d => d.Id != 0).ToDictionary(d => d.Uuid, d => d.Id)));
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or HypervisorException)
        {
            _log.NotParked(e);
        }
    }

    private ulong LastEpoch => _store!.Checkpoints is [.., CheckpointManifest last] ? last.Epoch : 0;

    // What the process before this one parked, where everything is as it left it.
    private ReadOnlyMemory<byte>? Parked()
    {
        if (_file!.State.Parked is not { } parked)
        {
            return null;
        }

        string? why = _file.State.Pending is not null ? "a recovery has begun"
            : parked.Life != _platform.Life ? "the host has been started anew since"
            : parked.Epoch != LastEpoch ? "checkpoints have been taken or removed since"
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

        _log.NotTakenUp(why);
        return null;
    }

    // A domain that may be one of a past: its peers have received what it is going to send.
    private string? Returned(ParkedLife parked)
    {
        HashSet<Guid> stored = _store!.Checkpoints is [.., CheckpointManifest last] ? [.. last.Domains.Select(d => d.Uuid)] : [];
        return Hypervisor.ListDomains().FirstOrDefault(d => d.Id != 0
            && (parked.Domains.TryGetValue(d.Uuid, out int id) ? id != d.Id : stored.Contains(d.Uuid)))?.Name;
    }
}
