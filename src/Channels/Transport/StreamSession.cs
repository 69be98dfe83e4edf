namespace XenTwoLevelCkpt.Channels;

/// <summary>A stream that is open to a peer, over gRPC.</summary>
/// <param name="link">Its channels.</param>
/// <param name="life">Cancelled when the stream has to end.</param>
internal sealed class StreamSession(PeerLink link, CancellationToken life) : LinkSession(link), IDisposable
{
    private readonly CancellationTokenSource _cancel = CancellationTokenSource.CreateLinkedTokenSource(life);
    private readonly SemaphoreSlim _signal = new(0, 1);

    /// <summary>Ends the stream.</summary>
    internal CancellationToken Token => _cancel.Token;

    /// <summary>Ends when nobody uses the stream any more.</summary>
    internal TaskCompletionSource Ended { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    internal override bool IsEnding => Token.IsCancellationRequested;

    internal void Cancel() => _cancel.Cancel();

    internal override void Signal()
    {
        if (_signal.CurrentCount == 0)
        {
            _ = _signal.Release();
        }
    }

    /// <summary>Waits until there may be something to write.</summary>
    internal Task WaitAsync() => _signal.WaitAsync(Token);

    public void Dispose()
    {
        _cancel.Dispose();
        _signal.Dispose();
    }
}
