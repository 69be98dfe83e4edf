using Grpc.Core;
using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Channels;

/// <content>Streams that this node opens.</content>
internal sealed partial class PeerStreams<TProtocol>
{
    // Under the lock.
    private void Connect(PeerLink link)
    {
        _ = _connecting.RemoveAll(task => task.IsCompleted);
        _connecting.Add(Task.Run(() => ConnectAsync(link)));
    }

    private async Task ConnectAsync(PeerLink link)
    {
        TimeSpan backOff = _options.MinBackOff;
        while (!_life.IsStopping && !link.IsRetired)
        {
            if (AddressOf(link) is not { } peer)
            {
                await BackOffAsync(_options.MaxBackOff, _life.Stopped).ConfigureAwait(false);
                continue;
            }

            bool opened = false;
            string reason = "the peer ended it";
            CancellationToken life = _life.Stopped;
            try
            {
                life = await RunningAsync(0, _life.Stopped).ConfigureAwait(false);
                if (link.IsRetired)
                {
                    // By the recovery that was waited for.
                    break;
                }

                using var channel = RpcChannel.ForTcp(peer.Host, peer.Port);
                using var both = CancellationTokenSource.CreateLinkedTokenSource(life, _life.Stopped);
                using ChannelCall call = NodeChannel.Exchange(channel, both.Token);
                await call.WriteAsync(MyHello(link)).ConfigureAwait(false);
                Hello theirs = WireRules.Hello(
                    await call.ReadAsync().ConfigureAwait(false), _options.Cluster, _headerSize);
                if (theirs.Node != link.Name)
                {
                    throw new StatusException(
                        StatusCode.PermissionDenied, $"The node at {peer.Host}:{peer.Port} calls itself '{theirs.Node}'.");
                }

                using StreamSession session = Attach(link, theirs, both.Token);
                opened = true;
                backOff = _options.MinBackOff;
                await RunAsync(session, call, serves: false).ConfigureAwait(false);
            }
            catch (StatusException e)
            {
                reason = $"{e.Code}: {e.Message}";
            }
            catch (OperationCanceledException)
            {
                reason = "this node stops it";
            }
            catch (Exception e)
            {
                // A defect; the channel goes on with the next stream all the same.
                reason = e.Message;
                _events.Failed(link.Name, e);
            }

            Closed(link, reason, opened);
            await BackOffAsync(backOff, life).ConfigureAwait(false);
            backOff = TimeSpan.FromTicks(Math.Min(backOff.Ticks * 2, _options.MaxBackOff.Ticks));
        }

        lock (_lock)
        {
            _ = _dialled.Remove(link);
        }
    }

    // A recovery ends the wait: what was refused in the old incarnation may be taken in the new one.
    private async Task BackOffAsync(TimeSpan backOff, CancellationToken life)
    {
        try
        {
            using var both = CancellationTokenSource.CreateLinkedTokenSource(life, _life.Stopped);
            double factor = 1 - (Jitter * Random.Shared.NextDouble());
            await Task.Delay(backOff * factor, both.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
        {
            // Go on.
        }
    }

    private void Closed(PeerLink link, string reason, bool opened)
    {
        lock (_lock)
        {
            // What comes again with each attempt is told once.
            if (!opened && link.Problem != reason && !_life.IsStopping)
            {
                _events.InTrouble(link.Name, reason);
            }

            link.Problem = opened ? null : reason;
        }

        if (opened)
        {
            _events.Closed(link.Name, reason);
        }
    }

    // The address of a link's other end; null where that is here, or not to be reached any more.
    private PeerAddress? AddressOf(PeerLink link)
    {
        lock (_lock)
        {
            string where = Topology.Where(link);
            return link.IsRetired || where == _options.Node
                ? null
                : _options.Peers.FirstOrDefault(peer => peer.Name == where) is { Name: not null } peer ? peer : null;
        }
    }
}
