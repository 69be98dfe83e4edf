namespace XenTwoLevelCkpt.Daemon;

/// <content>What is left to do behind a recovery.</content>
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
}
