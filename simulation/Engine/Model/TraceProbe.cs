using XenTwoLevelCkpt.Protocol;
using XenTwoLevelCkpt.Protocol.Checking;
using XenTwoLevelCkpt.Protocol.Recovery;

namespace XenTwoLevelCkpt.Simulation.Model;

/// <summary>Hands what happens in a lane on as the records of a trace.</summary>
public readonly record struct TraceProbe : ILaneProbe
{
    private readonly Recorder _recorder;

    /// <summary>Makes a probe.</summary>
    /// <param name="rule">How the protocol's lines are found.</param>
    /// <param name="receive">Gets the records.</param>
    public TraceProbe(LineRule rule, Action<TraceEvent> receive) => _recorder = new Recorder(rule, receive);

    /// <inheritdoc/>
    public void OnCheckpoint(long time, int process, long label, bool forced) => _recorder.Receive(
        TraceEvent.Checkpoint(forced ? TraceEventKind.Forced : TraceEventKind.Basic, process, label));

    /// <inheritdoc/>
    public void OnSend(long time, int from, int to, int message, long index) =>
        _recorder.Receive(TraceEvent.Send(from, to, _recorder.NumberOf(message, index), index));

    /// <inheritdoc/>
    public void OnDeliver(long time, int from, int to, int message, long index)
    {
        (long number, long sent) = _recorder.Messages[message];
        bool logged = CrossingMessages.MustLog(_recorder.Rule, sent, index);
        _recorder.Receive(TraceEvent.Receive(to, number, index, logged));
    }

    private sealed class Recorder(LineRule rule, Action<TraceEvent> receive)
    {
        private long _next;

        internal LineRule Rule => rule;

        internal Action<TraceEvent> Receive => receive;

        // By the place of a message in flight its number in the trace and the index that it carries.
        internal Dictionary<int, (long Number, long Index)> Messages { get; } = [];

        internal long NumberOf(int message, long index)
        {
            Messages[message] = (_next, index);
            return _next++;
        }
    }
}
