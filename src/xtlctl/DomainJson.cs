using System.Text.Json;
using System.Text.Json.Serialization;
using XenTwoLevelCkpt.Hypervisor;
using V1 = XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Control;

/// <summary>A domain as <c>xtlctl domains --json</c> prints it.</summary>
/// <param name="Id">The domain id.</param>
/// <param name="Uuid">The domain's UUID.</param>
/// <param name="Name">The toolstack's name, or null.</param>
/// <param name="Kind"><c>control</c>, <c>pv</c>, <c>pvh</c> or <c>hvm</c>.</param>
/// <param name="State">Six letters as <c>xl list</c> prints them: r, b, p, s, c, d, or - for each that is not so.</param>
/// <param name="ShutdownReason">Why the domain shut down, or null.</param>
/// <param name="MemoryMiB">Populated memory in whole MiB.</param>
/// <param name="MemoryPages">Populated 4 KiB pages.</param>
/// <param name="MaxMemoryPages">The most 4 KiB pages that the domain may populate.</param>
/// <param name="Vcpus">Online virtual CPUs.</param>
/// <param name="CpuSeconds">CPU time used.</param>
internal sealed record DomainJson(
    int Id,
    Guid Uuid,
    string? Name,
    string Kind,
    string State,
    string? ShutdownReason,
    long MemoryMiB,
    long MemoryPages,
    long MaxMemoryPages,
    int Vcpus,
    double CpuSeconds)
{
    private const int PagesPerMebibyte = 256;

    internal static DomainJson From(DomainInfo d) => new(
        d.Id, d.Uuid, d.Name, KindName(d), d.StateLetters(),
        d.ShutdownReason is { } reason ? JsonNamingPolicy.CamelCase.ConvertName($"{reason}") : null,
        d.MemoryPages / PagesPerMebibyte, d.MemoryPages, d.MaxMemoryPages, d.Vcpus,
        Math.Round(d.CpuTime.TotalSeconds, 3));

    internal static DomainJson From(V1.Domain d) => new(
        (int)d.Id, Guid.Parse(d.Uuid), d.HasName ? d.Name : null, $"{d.Kind}".ToLowerInvariant(), d.State,
        d.HasShutdownReason ? d.ShutdownReason : null, (long)d.MemoryPages / PagesPerMebibyte, (long)d.MemoryPages,
        (long)d.MaxMemoryPages, (int)d.Vcpus, Math.Round(d.CpuTime.ToTimeSpan().TotalSeconds, 3));

    private static string KindName(DomainInfo d) => d.Id == 0
        ? "control"
        : d.Kind switch
        {
            GuestKind.Pv => "pv",
            GuestKind.Pvh => "pvh",
            GuestKind.Hvm => "hvm",
            _ => $"{d.Kind}",
        };
}

/// <summary>Serialisers made at build time: reflection would cost most of the command's start-up.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true)]
[JsonSerializable(typeof(DomainJson[]))]
[JsonSerializable(typeof(DirtyReport))]
internal sealed partial class ControlJson : JsonSerializerContext;
