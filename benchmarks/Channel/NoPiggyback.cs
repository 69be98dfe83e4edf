using System.Runtime.InteropServices;
using XenTwoLevelCkpt.Protocol;

namespace XenTwoLevelCkpt.Benchmarks.Channel;

/// <summary>No protocol: messages carry no index (a field of the value 0 is not on the wire), and none is checked. With it
/// a messenger does all else that it does. For the benchmark alone: no recovery line would be consistent.</summary>
[StructLayout(LayoutKind.Auto)]
internal readonly struct NoPiggyback : IScalarProtocol<NoPiggyback>
{
    public static ProtocolTraits Traits { get; } = new()
    {
        Name = "none",
        Source = "none",
        Line = LineRule.FirstAtLeast,
        PiggybackBytes = 0,
    };

    public long Index => 0;

    public long PendingLabel => 0;

    public ScalarState State => default;

    public static NoPiggyback Create(int node, int nodes) => default;

    public static NoPiggyback From(ScalarState state) => default;

    public bool OnTick() => false;

    public bool OnSend(int to, out long piggyback)
    {
        piggyback = 0;
        return false;
    }

    public ReceiveDecision OnReceive(int from, in long piggyback) => ReceiveDecision.Deliver;

    public bool OnRaise(long index) => false;

    public bool OnCheckpointDone() => false;

    public void OnCheckpointFailed()
    {
    }

    public NoPiggyback Save() => default;

    public void OnRollback(in NoPiggyback saved, long line)
    {
    }
}
