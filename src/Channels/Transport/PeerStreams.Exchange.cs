using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Channels;

/// <content>One stream, while it lasts: what is read from it and written to it.</content>
internal sealed partial class PeerStreams<TProtocol>
{
    // Until either direction ends. The other one is ended then, and waited for: nobody uses the stream afterwards.
    private async Task RunAsync(StreamSession session, ChannelStream stream, bool serves)
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

    private async Task ReadAsync(StreamSession session, ChannelStream stream, bool serves)
    {
        while (await stream.ReadAsync(session.Token).ConfigureAwait(false) is { } message)
        {
            ChannelCore<TProtocol>.RequireSense(message, session.Incarnation, _headerSize);
            lock (_lock)
            {
                _core.Take(session, message);
            }

            _begin();
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

    private bool IsAllAcknowledged(StreamSession session)
    {
        lock (_lock)
        {
            return ChannelCore<TProtocol>.IsAllAcknowledged(session);
        }
    }

    private async Task WriteAsync(StreamSession session, ChannelStream stream)
    {
        while (true)
        {
            ChannelMessage? message;
            lock (_lock)
            {
                message = _core.Next(session);
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

    // True while too much waits for a checkpoint for more to be read.
    private bool Rests(StreamSession session, out Task moved)
    {
        lock (_lock)
        {
            moved = _gateMoved.Task;
            return _core.Rests(session);
        }
    }
}
