using XenTwoLevelCkpt.Protocol.Checking;

namespace XenTwoLevelCkpt.Simulation.Timed;

/// <content>Checkpoints: begun, saved, and written to the shared storage.</content>
internal sealed partial class TimedCluster<TProtocol, TPiggyback>
{
    private void Begin(int number, TraceEventKind kind)
    {
        Process process = _all[number];
        Account(process);
        Reached(process);
        process.State = State.Suspended;
        process.Kind = kind;
        process.Generation++;
        process.Pending = new Checkpoint
        {
            State = process.Node.Protocol.Save(),
            Label = process.Node.Protocol.PendingLabel,
            Reach = process.Node.Protocol.PendingLabel,
            Work = process.Work,
        };
        _queue.Push(
            _now + _settings.Cost.Next(ref process.Costs), Saved | ((ulong)process.Generation << 28) | (uint)number);
    }

    private void OnSaved(int number)
    {
        Process process = _all[number];
        Checkpoint checkpoint = process.Pending!;
        if (_storage.Instant)
        {
            checkpoint.Durable = true;
        }
        else
        {
            checkpoint.Began = _now;
            checkpoint.Write = _storage.Begin(_now, _settings.ImageBytes * _processes.CountOf(number));
            _writes.Add(checkpoint.Write, (number, checkpoint));
            ScheduleWritten();
            if (_settings.WaitForStorage)
            {
                return;
            }
        }

        Complete(number);
    }

    // The process has its checkpoint and runs on.
    private void Complete(int number)
    {
        Process process = _all[number];
        Checkpoint checkpoint = process.Pending!;
        process.Pending = null;
        process.Checkpoints.Add(checkpoint);
        _trace?.Invoke(TraceEvent.Checkpoint(process.Kind, number, checkpoint.Label));
        if (process.Kind == TraceEventKind.Basic)
        {
            _result.Basic++;
        }
        else
        {
            _result.Forced++;
        }

        bool announce = process.Node.Protocol.OnCheckpointDone();
        Unpark(process);
        if (process.Checkpoints.Count > 256)
        {
            CollectGarbage();
        }

        for (int to = 0; announce && to < _all.Length; to++)
        {
            if (to != number)
            {
                var marker = new Message { From = number, To = to, Control = true };
                _ = Stamp(marker);
                _result.Control++;
                _queue.Push(_now + _settings.Workload.Delay.Next(ref process.Costs), Arrive | (uint)Keep(marker));
            }
        }
    }

    private void OnWritten(int write)
    {
        _ = _writes.Remove(write, out (int Process, Checkpoint Checkpoint) done);
        ScheduleWritten();
        done.Checkpoint.Durable = true;
        double seconds = (_now - done.Checkpoint.Began) / 1e9;
        _writeSum += seconds;
        _writesEnded++;
        _result.WriteMax = Math.Max(_result.WriteMax, seconds);
        if (ReferenceEquals(_all[done.Process].Pending, done.Checkpoint))
        {
            Complete(done.Process);
        }
    }

    private void ScheduleWritten()
    {
        _writeGeneration++;
        if (_storage.NextEnd() is { } end)
        {
            _queue.Push(end, Written | _writeGeneration);
        }
    }
}
