using XenTwoLevelCkpt.NativeInterop.Threads;

namespace XenTwoLevelCkpt.Checkpointing.Node;

/// <summary>Threads that stand ready for the suspend window: starting a thread, or waiting for the thread pool to grow,
/// would take longer than the work. They go before ordinary threads, such as those that compress what was evicted: guests
/// stand still for them.</summary>
internal sealed class WindowCrew : IDisposable
{
    private readonly Thread[] _threads;
    private readonly SemaphoreSlim _start = new(0);
    private readonly SemaphoreSlim _done = new(0);
    private Round? _prepared;
    private volatile Round? _running;
    private int _helpers;
    private volatile bool _ended;

    /// <summary>Starts the threads.</summary>
    /// <param name="threads">How many, beside the caller of <see cref="Run"/>.</param>
    internal WindowCrew(int threads)
    {
        _threads = [.. Enumerable.Range(0, threads).Select(i => new Thread(Serve)
        {
            IsBackground = true,
            Name = $"window {i}",
        })];
        Array.ForEach(_threads, t => t.Start());
    }

    /// <summary>Makes ready for a number of items, so that <see cref="Run"/> allocates nothing.</summary>
    /// <param name="work">What is done for each item.</param>
    /// <param name="count">How many items there are.</param>
    /// <param name="waits">True where the work waits for something else than a processor. Where it does not, and there is
    /// one processor, threads that are woken only take it from each other.</param>
    internal void Prepare(Action<int> work, int count, bool waits)
    {
        _prepared = new Round(work, count, _done);
        _helpers = waits || Environment.ProcessorCount > 1 ? _threads.Length : 0;
    }

    /// <summary>Does all items, each once, in the order of their numbers as far as there are threads. The caller takes
    /// part: on a host with one free processor it has done everything before another thread has woken.</summary>
    /// <returns>What went wrong with each, or null.</returns>
    internal IReadOnlyList<Exception?> Run()
    {
        Round round = _prepared!;
        if (round.Failures.Length == 0)
        {
            // Nobody would say that the last item is done.
            return round.Failures;
        }

        _running = round;
        if (_helpers > 0)
        {
            _ = _start.Release(_helpers);
        }

        round.Serve();
        _done.Wait();
        return round.Failures;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _ended = true;
        _start.Release(_threads.Length);
        Array.ForEach(_threads, t => t.Join());
        _start.Dispose();
        _done.Dispose();
    }

    private void Serve()
    {
        _ = UrgentThread.TryBegin();
        while (true)
        {
            _start.Wait();
            if (_ended)
            {
                return;
            }

            _running!.Serve();
        }
    }

    // One use of the crew. A thread that wakes late finds nothing left to do in it, and does not see the next one before
    // that runs.
    private sealed class Round(Action<int> work, int count, SemaphoreSlim done)
    {
        private int _left = count;
        private int _next;

        internal Exception?[] Failures { get; } = new Exception?[count];

        internal void Serve()
        {
            int item;
            while ((item = Interlocked.Increment(ref _next) - 1) < Failures.Length)
            {
                try
                {
                    work(item);
                }
#pragma warning disable CA1031 // Whatever happens in the window, the domains are resumed first; the caller has it then.
                catch (Exception e)
#pragma warning restore CA1031
                {
                    Failures[item] = e;
                }

                if (Interlocked.Decrement(ref _left) == 0)
                {
                    _ = done.Release();
                }
            }
        }
    }
}
