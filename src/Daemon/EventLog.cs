using Google.Protobuf.WellKnownTypes;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Daemon;

/// <summary>The events of one run of the daemon, of which the last ones are kept for readers that come later or are slow.
/// Thread-safe.</summary>
/// <param name="capacity">How many are kept.</param>
public sealed class EventLog(int capacity = EventLog.DefaultCapacity)
{
    /// <summary>Some minutes of a node that takes a checkpoint a second, at a few hundred octets each.</summary>
    public const int DefaultCapacity = 4096;

    private readonly Lock _gate = new();
    private readonly Event[] _kept = new Event[capacity];
    private long _count;
    private TaskCompletionSource _added = NewSignal();

    /// <summary>The sequence number of the newest event; 0 for none.</summary>
    public long Last
    {
        get
        {
            lock (_gate)
            {
                return _count;
            }
        }
    }

    /// <summary>Adds an event; sets its number and time.</summary>
    /// <param name="what">What happened.</param>
    public void Add(Event what)
    {
        ArgumentNullException.ThrowIfNull(what);
        TaskCompletionSource added;
        lock (_gate)
        {
            what.Sequence = (ulong)++_count;
            what.At = Timestamp.FromDateTimeOffset(DateTimeOffset.UtcNow);
            _kept[_count % capacity] = what;
            added = _added;
            _added = NewSignal();
        }

        added.SetResult();
    }

    /// <summary>The next event after one, as soon as it is there.</summary>
    /// <param name="after">The sequence number of the event before.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The event, or where it is not kept any more a <see cref="Missed"/> that bears the number of the last one
    /// that is lost.</returns>
    public async Task<Event> ReadAsync(long after, CancellationToken cancellationToken)
    {
        while (true)
        {
            Task added;
            lock (_gate)
            {
                long lost = _count - capacity;
                if (after < lost)
                {
                    return new Event
                    {
                        Sequence = (ulong)lost,
                        At = _kept[(lost + 1) % capacity].At,
                        Missed = new Missed { Events = (ulong)(lost - after) },
                    };
                }

                if (after < _count)
                {
                    return _kept[(after + 1) % capacity];
                }

                added = _added.Task;
            }

            await added.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
