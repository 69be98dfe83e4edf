namespace XenTwoLevelCkpt.Simulation.Model;

/// <summary>Watches a lane. A struct, so that nothing is left of the calls to one that does nothing.</summary>
public interface ILaneProbe
{
    /// <summary>A process has taken a checkpoint.</summary>
    /// <param name="time">Nanoseconds.</param>
    /// <param name="process">The process.</param>
    /// <param name="label">The checkpoint's label.</param>
    /// <param name="forced">False where a tick brought it.</param>
    void OnCheckpoint(long time, int process, long label, bool forced);

    /// <summary>A process sends to another one.</summary>
    /// <param name="time">Nanoseconds.</param>
    /// <param name="from">The sender.</param>
    /// <param name="to">The receiver.</param>
    /// <param name="message">The message's number: unique among those in flight. Control messages have numbers of their
    /// own, below 0.</param>
    /// <param name="index">The sender's index.</param>
    void OnSend(long time, int from, int to, int message, long index);

    /// <summary>A message is delivered.</summary>
    /// <param name="time">Nanoseconds.</param>
    /// <param name="from">The sender.</param>
    /// <param name="to">The receiver.</param>
    /// <param name="message">The number with which it was sent.</param>
    /// <param name="index">The receiver's index.</param>
    void OnDeliver(long time, int from, int to, int message, long index);
}

/// <summary>Watches nothing.</summary>
public readonly record struct NoProbe : ILaneProbe
{
    /// <inheritdoc/>
    public void OnCheckpoint(long time, int process, long label, bool forced)
    {
    }

    /// <inheritdoc/>
    public void OnSend(long time, int from, int to, int message, long index)
    {
    }

    /// <inheritdoc/>
    public void OnDeliver(long time, int from, int to, int message, long index)
    {
    }
}
