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
        Print(output, [.. hypervisor.ListDomains().Select(DomainJson.From)], json);
        return ExitCodes.Ok;
    }

    /// <summary>Prints domains.</summary>
    /// <param name="output">Receives the list.</param>
    /// <param name="domains">The domains.</param>
    /// <param name="json">JSON instead of a table.</param>
    internal static void Print(TextWriter output, DomainJson[] domains, bool json)
    {
        if (json)
        {
            output.WriteLine(JsonSerializer.Serialize(domains, ControlJson.Default.DomainJsonArray));
            return;
        }

        var table = new TextTable("ID", "NAME", "KIND", "MIB", "VCPUS", "STATE", "CPU s", "CHECKPOINTS", "UUID");
        foreach (DomainJson d in domains)
        {
            table.Add(
                $"{d.Id}", d.Name ?? "-", d.Kind, $"{d.MemoryMiB}", $"{d.Vcpus}", d.State, $"{d.CpuSeconds:F1}",
                d.Coverage?.Words ?? "-", $"{d.Uuid}");
        }

        table.Write(output);
        foreach (DomainJson d in domains.Where(d => d.Coverage?.Message is not null))
        {
            output.WriteLine(d.Coverage!.Message);
        }
    }
}
