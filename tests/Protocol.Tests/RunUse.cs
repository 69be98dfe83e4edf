using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Protocol.Tests;

/// <summary>Runs a protocol chosen by name.</summary>
[StructLayout(LayoutKind.Auto)]
internal readonly record struct RunUse(Schedule Schedule, bool Failures) : IProtocolUse<Outcome>
{
    public static Outcome Run(string protocol, Schedule schedule, bool failures = false) =>
        ProtocolFamily.Use(protocol, new RunUse(schedule, failures));

    public Outcome With<TProtocol, TPiggyback>()
        where TProtocol : struct, IProtocol<TProtocol, TPiggyback> => Host<TProtocol, TPiggyback>.Run(Schedule, Failures);
}
