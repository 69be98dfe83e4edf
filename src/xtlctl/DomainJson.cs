using System.Text.Json;
using System.Text.Json.Serialization;
using XenTwoLevelCkpt.Checkpointing.Node.Selection;
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
/// <param name="Coverage">Whether checkpoints cover it; null for the control domain.</param>
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
    double CpuSeconds,
    CoverageJson? Coverage)
{
    private const int PagesPerMebibyte = 256;

    internal static DomainJson From(DomainInfo d) => new(
        d.Id, d.Uuid, d.Name, KindName(d), d.StateLetters(),
        d.ShutdownReason is { } reason ? JsonNamingPolicy.CamelCase.ConvertName($"{reason}") : null,
        d.MemoryPages / PagesPerMebibyte, d.MemoryPages, d.MaxMemoryPages, d.Vcpus,
        Math.Round(d.CpuTime.TotalSeconds, 3), d.Id == 0 ? null : CoverageJson.From(d));

    internal static DomainJson From(V1.Domain d) => new(
        (int)d.Id, Guid.Parse(d.Uuid), d.HasName ? d.Name : null, $"{d.Kind}".ToLowerInvariant(), d.State,
        d.HasShutdownReason ? d.ShutdownReason : null, (long)d.MemoryPages / PagesPerMebibyte, (long)d.MemoryPages,
        (long)d.MaxMemoryPages, (int)d.Vcpus, Math.Round(d.CpuTime.ToTimeSpan().TotalSeconds, 3),
        d.Coverage is null ? null : CoverageJson.From(d.Coverage));

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

/// <summary>Whether checkpoints cover a domain.</summary>
/// <param name="State"><c>covered</c>, <c>leftOut</c>, <c>pending</c> (from the next checkpoint on), or <c>unknown</c> where no
/// daemon runs.</param>
/// <param name="Reason">Why it is left out, as a code, or null.</param>
/// <param name="Message">The same as a sentence, with what to do, or null.</param>
/// <param name="Disks">Its disks that are covered.</param>
/// <param name="MemoryOnly">Whether disks and devices that cannot be saved are left out.</param>
internal sealed record CoverageJson(
    string State, string? Reason, string? Message, IReadOnlyList<string> Disks, bool MemoryOnly)
{
    internal static CoverageJson From(DomainInfo d) => LeftOut.ByState(d) is { } state
        ? new CoverageJson("leftOut", LeftOut.CodeOf(state.Reason), state.Message, [], MemoryOnly: false)
        : new CoverageJson("unknown", null, null, [], MemoryOnly: false);

    internal static CoverageJson From(V1.Coverage c) => new(
        c.State switch
        {
            V1.CoverageState.Covered => "covered",
            V1.CoverageState.LeftOut => "leftOut",
            V1.CoverageState.Pending => "pending",
            _ => "unknown",
        },
        c.Reason.Length > 0 ? c.Reason : null, c.Message.Length > 0 ? c.Message : null, [.. c.Disks], c.MemoryOnly);

    /// <summary>A word or two for a table.</summary>
    internal string Words => State switch
    {
        "covered" => MemoryOnly ? "yes, memory only" : Disks.Count == 0 ? "yes" : $"yes, with {string.Join(' ', Disks)}",
        "leftOut" => $"no: {Reason}",
        "pending" => "from the next on",
        _ => "-",
    };
}

/// <summary>Serialisers made at build time: reflection would cost most of the command's start-up.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true)]
[JsonSerializable(typeof(DomainJson[]))]
[JsonSerializable(typeof(DirtyReport))]
internal sealed partial class ControlJson : JsonSerializerContext;
