using System.Runtime.ExceptionServices;

namespace XenTwoLevelCkpt.Images.Format;

/// <summary>
/// Turns filled batches into bytes of the file: compressed by several threads, written by one in the order in which
/// they were submitted. A ring of batches bounds the memory: who fills faster than the device writes, waits.
/// </summary>
/// <remarks>One thread fills and submits. Without threads, everything happens in <see cref="Submit"/>.</remarks>
internal sealed class BatchPipeline : IDisposable
{
    private readonly Batch[] _ring;
    private readonly bool[] _finished;
    private readonly Thread[] _threads;
    private readonly ImageOutput _output;
    private readonly ImageCompression _compression;
    private readonly object _lock = new();

    // Kept, since making a delegate allocates.
    private readonly Action<Batch> _finish;
    private readonly Action<Batch> _write;

    // Batches submitted, taken by a compressor, and written; each follows the one before, the ring's length at most
    // behind it.
    private long _submitted;
    private long _taken;
    private long _written;
    private bool _stop;
    private Exception? _failure;

    internal BatchPipeline(ImageOutput output, ImageCompression compression, int threads, int batchSize)
    {
        _output = output;
        _compression = compression;
        _finish = batch => batch.Finish(_compression);
        _write = output.Write;

        // One batch is being filled and one written while each compressor has one.
        _ring = new Batch[threads == 0 ? 1 : threads + 2];
        for (int i = 0; i < _ring.Length; i++)
        {
            _ring[i] = new Batch(batchSize);
        }

        _finished = new bool[_ring.Length];
        _threads = new Thread[threads == 0 ? 0 : threads + 1];
        for (int i = 0; i < _threads.Length; i++)
        {
            _threads[i] = new Thread(i == 0 ? Write : Compress)
            {
                IsBackground = true,
                Name = i == 0 ? "image writer" : "image compressor",
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
            Monitor.PulseAll(_lock);
            while (_submitted - _written >= _ring.Length && _failure is null)
            {
                _ = Monitor.Wait(_lock);
            }

            ThrowIfFailed();
        }

        Current.Clear();
    }

    /// <summary>Waits until everything submitted is written.</summary>
    internal void Drain()
    {
        lock (_lock)
        {
            while (_threads.Length > 0 && _written < _submitted && _failure is null)
            {
                _ = Monitor.Wait(_lock);
            }

            ThrowIfFailed();
        }
    }

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

    private void Compress()
    {
        while (true)
        {
            long mine;
            lock (_lock)
            {
                while (_taken == _submitted && !_stop)
                {
                    _ = Monitor.Wait(_lock);
                }

                if (_stop)
                {
                    return;
                }

                mine = _taken++;
            }

            Guarded(_finish, _ring[mine % _ring.Length]);
            lock (_lock)
            {
                _finished[mine % _ring.Length] = true;
                Monitor.PulseAll(_lock);
            }
        }
    }

    private void Write()
    {
        while (true)
        {
            long slot;
            lock (_lock)
            {
                slot = _written % _ring.Length;
                while (!_finished[slot] && !_stop)
                {
                    _ = Monitor.Wait(_lock);
                }

                if (_stop)
                {
                    return;
                }
            }

            Guarded(_write, _ring[slot]);
            lock (_lock)
            {
                _finished[slot] = false;
                _written++;
                Monitor.PulseAll(_lock);
            }
        }
    }

    // A failure on one of the pipeline's threads belongs to the thread that fills: it is thrown there.
    private void Guarded(Action<Batch> action, Batch batch)
    {
        try
        {
            action(batch);
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
}
