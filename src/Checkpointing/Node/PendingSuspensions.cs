using System.Diagnostics;
using XenTwoLevelCkpt.Hypervisor;

namespace XenTwoLevelCkpt.Checkpointing.Node;

/// <summary>Domains that were asked to suspend by somebody who does not wait for it any more. A guest suspends some
/// milliseconds after it was asked, and up to some seconds where it has many processes to stop: to look at it once is not
/// enough.</summary>
/// <param name="hypervisor">The hypervisor.</param>
/// <param name="domains">UUIDs.</param>
/// <param name="say">Told what was done.</param>
public sealed class PendingSuspensions(IHypervisor hypervisor, IEnumerable<Guid> domains, Action<string> say)
{
    private static readonly TimeSpan LookInterval = TimeSpan.FromMilliseconds(20);

    private readonly HashSet<string> _failures = [];
    private readonly List<Guid> _left = [.. domains];

    /// <summary>How long a guest that acknowledged has to suspend. libxl waits as long (<c>libxl_dom_suspend.c</c>); Linux
    /// gives its processes 20 s to stop (<c>/sys/power/pm_freeze_timeout</c>).</summary>
    public static TimeSpan Patience { get; } = TimeSpan.FromSeconds(60);

    /// <summary>Resumes those that are suspended, and takes requests back that no guest has acknowledged.</summary>
    /// <returns>True where no guest is left that is suspended or may suspend yet.</returns>
    public bool Look()
    {
        _left.RemoveAll(IsOver);
        return _left.Count == 0;
    }

    /// <summary>Looks until no guest is left, or for as long as that makes sense.</summary>
    /// <param name="waiting">Told which domains are waited for; null for nobody.</param>
    /// <param name="patience">How long at most.</param>
    public void Wait(Action<string>? waiting, TimeSpan patience)
    {
        long start = Stopwatch.GetTimestamp();
        for (bool told = false; !Look(); told = true)
        {
            TimeSpan waited = Stopwatch.GetElapsedTime(start);
            if (waited >= patience)
            {
                Each(say, name => $"Domain {name} was asked to suspend and could not be seen suspended and resumed in "
                    + $"{patience.TotalSeconds:0} s. It is not waited for any more.");
                return;
            }

            if (!told && waiting is not null)
            {
                Each(waiting, name => $"Domain {name} was asked to suspend, and is resumed when it has.");
            }

            Thread.Sleep(LookInterval);
        }
    }

    private bool IsOver(Guid uuid)
    {
        try
        {
            using IDomain domain = hypervisor.OpenDomain(uuid);
            SuspendRemains remains = domain.UndoSuspend();
            if (remains == SuspendRemains.Resumed)
            {
                say($"Domain {NameOf(domain)} was left suspended and has been resumed.");
            }

            return remains != SuspendRemains.MayFollow;
        }
        catch (DomainNotFoundException)
        {
            return true;
        }
        catch (HypervisorException e)
        {
            if (_failures.Add(e.Message))
            {
                say(e.Message);
            }

            return false;
        }
    }

    private void Each(Action<string> tell, Func<string, string> sentence) => _left.ForEach(
        uuid => IntentFile.Attempt(hypervisor, uuid, say, domain => tell(sentence(NameOf(domain)))));

    private static string NameOf(IDomain domain) => domain.GetInfo().Name ?? $"{domain.Uuid}";
}
