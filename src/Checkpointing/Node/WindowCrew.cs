namespace XenTwoLevelCkpt.Checkpointing.Node;

/// <summary>Threads that stand ready for the suspend window: starting a thread, or waiting for the thread pool to grow,
/// would take longer than the work.</summary>
internal sealed class WindowCrew : IDisposable
{
    private readonly Thread[] _threads;
    private readonly SemaphoreSlim _start = new(0);
    private readonly SemaphoreSlim _done = new(0);
    private Action<int>? _work;
    private Exception?[] _failures = [];
    private int _count;
    private int _next;
    private volatile bool _ended;

    /// <summary>Starts the threads.</summary>
    /// <param name="threads">How many.</param>
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
    internal void Prepare(Action<int> work, int count)
    {
        _work = work;
        _count = count;
        _failures = new Exception?[count];
    }

    /// <summary>Does all items, each once, in the order of their numbers as far as there are threads.</summary>
    /// <returns>What went wrong with each, or null.</returns>
    internal IReadOnlyList<Exception?> Run()
    {
        _next = 0;
        _start.Release(_threads.Length);
        for (int i = 0; i < _threads.Length; i++)
        {
            _done.Wait();
        }

        return _failures;
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
        while (true)
        {
            _start.Wait();
            if (_ended)
            {
                return;
            }

            int item;
            while ((item = Interlocked.Increment(ref _next) - 1) < _count)
            {
                try
                {
                    _work!(item);
                }
#pragma warning disable CA1031 // Whatever happens in the window, the domains are resumed first; the caller has it then.
                catch (Exception e)
#pragma warning restore CA1031
                {
                    _failures[item] = e;
                }
            }

            _done.Release();
        }
    }
}
