using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Channels;

/// <content>One stream, while it lasts: what is read from it and written to it.</content>
internal sealed partial class NodeMessenger<TProtocol>
{
    private TaskCompletionSource _gateMoved = NewSource();

    // Until either direction ends. The other one is ended then, and waited for: nobody uses the stream afterwards.
    private async Task RunAsync(LinkSession session, ChannelStream stream, bool serves)
    {
        try
        {
            Task reading = ReadAsync(session, stream, serves);
            Task writing = WriteAsync(session, stream);
            Task first = await Task.WhenAny(reading, writing).ConfigureAwait(false);
            session.Cancel();
            try
            {
                await Task.WhenAll(reading, writing).ConfigureAwait(false);
            }
            catch (Exception e) when (e is StatusException or OperationCanceledException)
            {
                // Only the first one tells the cause.
            }

            await first.ConfigureAwait(false);
        }
        finally
        {
            Detach(session);
        }
    }

    private async Task ReadAsync(LinkSession session, ChannelStream stream, bool serves)
    {
        while (await stream.ReadAsync(session.Token).ConfigureAwait(false) is { } message)
        {
            Take(session, message);
            Begin();
            while (Rests(session, out Task moved))
            {
                await moved.WaitAsync(session.Token).ConfigureAwait(false);
            }
        }

        // The peer has ended its side. It hears what becomes of its batches before this side ends, too.
        while (serves && !IsAllAcknowledged(session))
        {
            await Task.Delay(_options.MinBackOff, session.Token).ConfigureAwait(false);
        }
    }

    private bool IsAllAcknowledged(LinkSession session)
    {
        lock (_lock)
        {
            return session.Link.Acknowledgeable == session.Link.In.Expected - 1 && session.HasAcknowledged;
        }
    }

    private async Task WriteAsync(LinkSession session, ChannelStream stream)
    {
        while (true)
        {
            ChannelMessage? message;
            lock (_lock)
            {
                message = session.Next(MyHeartbeat, out bool isBatch);
                if (isBatch)
                {
                    // A trace that knows of a delivery has to know of the sending, whoever is killed when.
                    _trace.Flush();
                }
            }

            if (message is null)
            {
                await session.WaitAsync().ConfigureAwait(false);
            }
            else
            {
                await stream.WriteAsync(message, session.Token).ConfigureAwait(false);
                if (message.Batch is { } batch)
                {
                    lock (_lock)
                    {
                        session.Written = (long)batch.Sequence;
                    }
                }
            }
        }
    }

    private Heartbeat MyHeartbeat(PeerLink link) => new()
    {
        Incarnation = (ulong)_gate.Incarnation,
        Sn = (ulong)_gate.Index,
        DurableSn = (ulong)Math.Min(link.End is { } hosted ? DurableOf(hosted) : _durable, _gate.Index),
        UptimeNanos = (ulong)_clock.Elapsed.TotalNanoseconds,
    };

    private void RoomMade()
    {
        if (_blocked)
        {
            _blocked = false;
            WakePump();
        }
    }

    // True while too much waits for a checkpoint for more to be read.
    private bool Rests(LinkSession session, out Task moved)
    {
        lock (_lock)
        {
            session.Rests = _gate.IsFull;
            moved = _gateMoved.Task;
            return session.Rests;
        }
    }

    // Readers that rest look again. Under the lock.
    private void GateMoved()
    {
        if (!_gate.IsFull)
        {
            _gateMoved.TrySetResult();
            _gateMoved = NewSource();
        }
    }

    private void Beat()
    {
        lock (_lock)
        {
            Reckon();
            foreach (PeerLink link in _all)
            {
                if (link.Session is { } session)
                {
                    session.HeartbeatDue = true;
                    session.Signal();
                }
            }

            _trace.Flush();
        }

        try
        {
            CollectGarbage();
        }
        catch (IOException e)
        {
            _events.LogFailed(e);
        }
    }
}
