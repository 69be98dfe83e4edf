using System.Text.Json;
using XenTwoLevelCkpt.Hypervisor;

namespace XenTwoLevelCkpt.Control;

/// <summary><c>xtlctl domains</c>: the domains of this host.</summary>
internal static class DomainsCommand
{
    /// <summary>Prints all domains.</summary>
    /// <param name="openHypervisor">Connects to the hypervisor.</param>
    /// <param name="output">Receives the list.</param>
    /// <param name="json">JSON instead of a table.</param>
    internal static int Run(Func<IHypervisor> openHypervisor, TextWriter output, bool json)
    {
        using IHypervisor hypervisor = openHypervisor();
        var domains = hypervisor.ListDomains();
        if (json)
        {
            output.WriteLine(JsonSerializer.Serialize(
                domains.Select(DomainJson.From).ToArray(), ControlJson.Default.DomainJsonArray));
            return ExitCodes.Ok;
        }

        var table = new TextTable("ID", "NAME", "KIND", "MIB", "VCPUS", "STATE", "CPU s", "UUID");
        foreach (DomainInfo d in domains)
        {
            table.Add(
                $"{d.Id}", d.Name ?? "-", DomainJson.KindName(d), $"{d.MemoryPages / DomainJson.PagesPerMebibyte}",
                $"{d.Vcpus}", d.StateLetters(), $"{d.CpuTime.TotalSeconds:F1}", $"{d.Uuid}");
        }

        table.Write(output);
        return ExitCodes.Ok;
    }
}
