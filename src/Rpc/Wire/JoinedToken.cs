namespace XenTwoLevelCkpt.Rpc;

/// <summary>Joins a call's own token with that of whoever waits, which is mostly the same from one wait to the next: then
/// nothing is allocated. For one wait at a time.</summary>
/// <param name="own">The call's token.</param>
internal sealed class JoinedToken(CancellationToken own) : IDisposable
{
    private CancellationToken _other;
    private CancellationTokenSource? _both;

    /// <summary>A token that is cancelled with either of the two.</summary>
    internal CancellationToken With(CancellationToken other)
    {
        if (!other.CanBeCanceled || other == own)
        {
            return own;
        }

        if (_both is null || other != _other)
        {
            _both?.Dispose();
            _both = CancellationTokenSource.CreateLinkedTokenSource(own, other);
            _other = other;
        }

        return _both.Token;
    }

    public void Dispose() => _both?.Dispose();
}
