using XenTwoLevelCkpt.Protocol;

namespace XenTwoLevelCkpt.Simulation.Timed;

/// <summary>Runs in which checkpoints take time.</summary>
public static class TimedRun
{
    /// <summary>Carries a run out.</summary>
    /// <param name="settings">What to run.</param>
    /// <exception cref="SettingsException">A setting is out of range.</exception>
    public static TimedResult Execute(TimedSettings settings)
    {
        ArgumentNullException.ThrowIfNull(settings);
        settings.Validate();
        settings.Lane.Validate();
        return ProtocolFamily.Use(settings.Lane.Protocol, new Use(settings));
    }

    private sealed class Use(TimedSettings settings) : IProtocolUse<TimedResult>
    {
        public TimedResult With<TProtocol, TPiggyback>()
            where TProtocol : struct, IProtocol<TProtocol, TPiggyback> =>
            new TimedCluster<TProtocol, TPiggyback>(settings).Execute();
    }
}
