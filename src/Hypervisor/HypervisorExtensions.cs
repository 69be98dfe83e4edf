using System.Globalization;

namespace XenTwoLevelCkpt.Hypervisor;

/// <summary>What follows from <see cref="IHypervisor"/> alone.</summary>
public static class HypervisorExtensions
{
    /// <summary>Finds a domain by what a person types.</summary>
    /// <param name="hypervisor">The hypervisor.</param>
    /// <param name="text">A UUID, a name, or a domain id. A name wins over an id, as in <c>xl</c>.</param>
    /// <exception cref="DomainNotFoundException">No domain matches.</exception>
    public static DomainInfo FindDomain(this IHypervisor hypervisor, string text)
    {
        ArgumentNullException.ThrowIfNull(hypervisor);
        var domains = hypervisor.ListDomains();
        DomainInfo? found = Guid.TryParse(text, out Guid uuid) ? domains.FirstOrDefault(d => d.Uuid == uuid) : null;
        found ??= domains.FirstOrDefault(d => d.Name == text);
        if (found is null && int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int id))
        {
            found = domains.FirstOrDefault(d => d.Id == id);
        }

        return found ?? throw new DomainNotFoundException($"'{text}'");
    }

    /// <summary>A domain's state in six letters as <c>xl list</c> prints them: r, b, p, s, c, d, or - for each that is not
    /// so.</summary>
    /// <param name="domain">The domain.</param>
    public static string StateLetters(this DomainInfo domain)
    {
        ArgumentNullException.ThrowIfNull(domain);
        return string.Create(6, domain, static (letters, d) =>
        {
            bool shutdown = d.State.HasFlag(DomainStates.Shutdown);
            letters[0] = d.State.HasFlag(DomainStates.Running) ? 'r' : '-';
            letters[1] = d.State.HasFlag(DomainStates.Blocked) ? 'b' : '-';
            letters[2] = d.State.HasFlag(DomainStates.Paused) ? 'p' : '-';
            letters[3] = shutdown ? 's' : '-';
            letters[4] = shutdown && d.ShutdownReason == ShutdownReason.Crash ? 'c' : '-';
            letters[5] = d.State.HasFlag(DomainStates.Dying) ? 'd' : '-';
        });
    }
}
