using System.Runtime.ExceptionServices;

namespace XenTwoLevelCkpt.Images.Format;

/// <summary>
/// Turns filled batches into bytes of the file: compressed by several threads, written in the order in which they were
/// submitted. A ring of batches bounds the memory: who fills faster than the others compress helps them, and waits for
/// nothing but what they have begun.
/// </summary>
/// <remarks>
/// <para>One thread fills and submits. Without threads, everything happens in <see cref="Submit"/>.</para>
/// <para>No thread only writes: whoever finished the batch that is next in the file writes it, and those behind it that are
/// finished. A batch takes less time than the scheduler needs to give a thread its turn on busy processors, so that handing
/// each batch on to another thread would leave the others without any.</para>
/// </remarks>
internal sealed class BatchPipeline : IDisposable
{
    private readonly Batch[] _ring;
    private readonly bool[] _finished;
    private readonly Thread[] _threads;
    private readonly ImageOutput _output;
    private readonly ImageCompression _compression;
    private readonly object _lock = new();

    // Batches submitted, taken by who compresses them, and written; each follows the one before, the ring's length at most
    // behind it.
    private long _submitted;
    private long _taken;
    private long _written;
    private int _idle;
    private bool _writing;
    private bool _fillerWaits;
    private bool _stop;
    private Exception? _failure;

    internal BatchPipeline(ImageOutput output, ImageCompression compression, int threads, int batchSize)
    {
        _output = output;
        _compression = compression;

        // One batch is being filled and one written while each compressor has one.
        _ring = new Batch[threads == 0 ? 1 : threads + 2];
        for (int i = 0; i < _ring.Length; i++)
        {
            _ring[i] = new Batch(batchSize);
        }

        _finished = new bool[_ring.Length];
        _threads = new Thread[threads];
        for (int i = 0; i < _threads.Length; i++)
        {
            _threads[i] = new Thread(Work)
            {
                IsBackground = true,
                Name = "image compressor",
            };
            _threads[i].Start();
        }
    }

    /// <summary>The batch to fill.</summary>
    internal Batch Current => _ring[_submitted % _ring.Length];

    /// <summary>Hands <see cref="Current"/> on and waits until there is another to fill.</summary>
    internal void Submit()
    {
        if (_threads.Length == 0)
        {
            ThrowIfFailed();
            try
            {
                Current.Finish(_compression);
                _output.Write(Current);
            }
            catch (Exception e)
            {
                _failure = e;
                throw;
            }

            Current.Clear();
            return;
        }

        lock (_lock)
        {
            _submitted++;
            if (_idle > 0)
            {
                // Nobody else waits: who fills is here.
                Monitor.Pulse(_lock);
            }
        }

        HelpUntil(unwritten: _ring.Length - 1);
        Current.Clear();
    }

    /// <summary>Waits until everything submitted is written.</summary>
    internal void Drain() => HelpUntil(unwritten: 0);

    /// <summary>Ends the threads; what was not written yet is dropped.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            _stop = true;
            Monitor.PulseAll(_lock);
        }

        foreach (Thread thread in _threads)
        {
            thread.Join();
        }
    }

    /// <summary>Throws what stopped the pipeline, if something did.</summary>
    internal void ThrowIfFailed()
    {
        if (_failure is not null)
        {
            ExceptionDispatchInfo.Throw(_failure);
        }
    }

    // Who fills does what the others have not begun, rather than to wait for them.
    private void HelpUntil(int unwritten)
    {
        while (true)
        {
            long mine;
            lock (_lock)
            {
                while (_submitted - _written > unwritten && _taken == _submitted && !_stop)
                {
                    _fillerWaits = true;
                    _ = Monitor.Wait(_lock);
                    _fillerWaits = false;
                }

                ThrowIfFailed();
                ObjectDisposedException.ThrowIf(_stop, this);
                if (_submitted - _written <= unwritten)
                {
                    return;
                }

                mine = _taken++;
            }

            Process(mine);
        }
    }

    private void Work()
    {
        while (true)
        {
            long mine;
            lock (_lock)
            {
                _idle++;
                while (_taken == _submitted && !_stop)
                {
                    _ = Monitor.Wait(_lock);
                }

                _idle--;
                if (_stop)
                {
                    return;
                }

                mine = _taken++;
            }

            Process(mine);
        }
    }

    // A failure on one of the pipeline's threads belongs to the thread that fills: it is thrown there.
    private void Process(long number)
    {
        try
        {
            _ring[number % _ring.Length].Finish(_compression);
            lock (_lock)
            {
                _finished[number % _ring.Length] = true;
                if (_writing)
                {
                    // Who writes now looks again before it stops.
                    return;
                }

                _writing = true;
            }

            WriteFinished();
        }
        catch (Exception e)
        {
            lock (_lock)
            {
                _failure ??= e;
                _stop = true;
                Monitor.PulseAll(_lock);
            }
        }
    }

    private void WriteFinished()
    {
        while (true)
        {
            long slot;
            lock (_lock)
            {
                slot = _written % _ring.Length;
                if (!_finished[slot] || _stop)
                {
                    _writing = false;
                    return;
                }
            }

            _output.Write(_ring[slot]);
            lock (_lock)
            {
                _finished[slot] = false;
                _written++;
                if (_fillerWaits)
                {
                    Monitor.PulseAll(_lock);
                }
            }
        }
    }
}
