using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Images.Verification;

namespace XenTwoLevelCkpt.Checkpointing.Node;

/// <summary>Folds chains and removes old checkpoints beside those that are being taken: a fold reads and writes a whole
/// image, and no checkpoint waits for it.</summary>
/// <param name="store">The store.</param>
/// <param name="policy">What is kept; null to do nothing.</param>
/// <param name="log">Learns what could not be done.</param>
/// <param name="cancellationToken">Stops between two folds or removals.</param>
/// <param name="keep">Says of a checkpoint that it is kept whatever the policy says; null for none.</param>
public sealed class Tidying(
    ICheckpointStore store, RetentionPolicy? policy, Action<string> log, CancellationToken cancellationToken,
    Func<CheckpointManifest, bool>? keep = null)
{
    private readonly Lock _gate = new();
    private IReadOnlyList<string> _told = [];
    private Task _running = Task.CompletedTask;

    /// <summary>Begins, unless it is still under way: then what came meanwhile is tidied the next time.</summary>
    public void Begin()
    {
        lock (_gate)
        {
            if (policy is not null && _running.IsCompleted)
            {
                _running = Task.Run(Apply, CancellationToken.None);
            }
        }
    }

    /// <summary>Does other work on the store, when nothing else is tidied.</summary>
    /// <param name="work">The work.</param>
    /// <typeparam name="T">What comes of it.</typeparam>
    public Task<T> RunAsync<T>(Func<T> work)
    {
        lock (_gate)
        {
            Task before = _running;
            Task<T> mine = Task.Run(
                async () =>
                {
                    await before.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                    return work();
                },
                CancellationToken.None);
            _running = mine.ContinueWith(
                static _ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
            return mine;
        }
    }

    /// <summary>Waits until the store is as the policy wants it.</summary>
    public async Task FinishAsync()
    {
        Task running;
        lock (_gate)
        {
            running = _running;
        }

        await running.ConfigureAwait(false);
        if (policy is not null)
        {
            await Task.Run(Apply, CancellationToken.None).ConfigureAwait(false);
        }
    }

    // The store is whole whatever happens here; the next time it is tried again.
    private void Apply()
    {
        try
        {
            RetentionResult result = Retention.Apply(
                store, policy!, DateTimeOffset.UtcNow, keep, cancellationToken);
            foreach (Finding found in result.Problems)
            {
                log($"A chain could not be folded: {found.File}, offset {found.Offset}: {found.Problem}");
            }

            // Each is as true after the next checkpoint.
            foreach (string undone in result.Undone.Except(_told))
            {
                log(undone);
            }

            _told = result.Undone;
        }
        catch (OperationCanceledException)
        {
        }
        catch (IOException e)
        {
            log($"Old checkpoints could not be removed or folded: {e.Message}");
        }
    }
}
