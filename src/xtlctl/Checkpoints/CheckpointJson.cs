using System.Text.Json.Serialization;
using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Checkpointing.Node.Selection;
using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Images.Verification;
using V1 = XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Control.Checkpoints;

/// <summary>A checkpoint as <c>xtlctl checkpoints --json</c> prints it.</summary>
internal sealed record CheckpointJson(
    Guid Id, ulong Epoch, ulong Index, string Label, DateTimeOffset Captured, string Node, long Bytes, bool Expendable,
    IReadOnlyList<CheckpointDomainJson> Domains, IReadOnlyList<LeftOutDomain> LeftOut)
{
    internal static CheckpointJson From(ICheckpointStore store, CheckpointManifest m) => new(
        m.Id, m.Epoch, m.Closing.Index, m.Closing.Label, m.Closing.Captured, m.Node,
        m.Entries.Sum(d => d.Parts.Sum(p => p.Length)), store.IsExpendable(m.Epoch),
        [.. m.Domains.Select(CheckpointDomainJson.From)], m.LeftOut);

    internal static CheckpointJson From(V1.Checkpoint c) => new(
        Guid.Parse(c.Id), c.Epoch, c.Index, c.Label, c.Captured.ToDateTimeOffset(), c.Node, (long)c.Bytes,
        c.Expendable, [.. c.Domains.Select(CheckpointDomainJson.From)], [.. c.LeftOut.Select(ReportJson.LeftOutFrom)]);
}

/// <summary>A domain of a checkpoint.</summary>
internal sealed record CheckpointDomainJson(Guid Uuid, string Name, IReadOnlyList<PartJson> Parts)
{
    internal static CheckpointDomainJson From(ManifestDomain d) => new(d.Uuid, d.Name, [.. d.Parts.Select(PartJson.From)]);

    internal static CheckpointDomainJson From(V1.CheckpointDomain d) =>
        new(Guid.Parse(d.Uuid), d.Name, [.. d.Parts.Select(PartJson.From)]);
}

/// <summary>An image of a checkpoint.</summary>
internal sealed record PartJson(string Content, string Name, string Kind, Guid? Parent, string File, long Bytes)
{
    internal static PartJson From(ManifestPart p) => new(
        ContentName(p.Content), p.Name, p.Kind == ImageKind.Full ? "full" : "increment",
        p.ParentId == Guid.Empty ? null : p.ParentId, p.File, p.Length);

    internal static PartJson From(V1.Part p) => new(
        $"{p.Content}".ToLowerInvariant(), p.Name, p.HasParent ? "increment" : "full",
        p.HasParent ? Guid.Parse(p.Parent) : null, p.File, (long)p.Bytes);

    /// <summary>The paper's names for the parts.</summary>
    private static string ContentName(ImageContent content) => content switch
    {
        ImageContent.Registers => "reg",
        ImageContent.Memory => "inm",
        ImageContent.BlockDevice or ImageContent.Directory => "ind",
        _ => "com",
    };
}

/// <summary>How a checkpoint went, as <c>xtlctl checkpoint --json</c> prints it. Times are in milliseconds.</summary>
internal sealed record ReportJson(
    Guid Id, ulong Epoch, ulong Index, string Label, DateTimeOffset Captured, double PauseMs, PhasesJson Phases,
    IReadOnlyList<DomainReportJson> Domains, IReadOnlyList<LeftOutDomain> LeftOut)
{
    /// <summary>True where domains are missing that nobody excluded.</summary>
    internal bool IsPartial => LeftOut.Any(d => d.Reason != Excluded);

    private static string Excluded => Checkpointing.Node.Selection.LeftOut.CodeOf(LeftOutReason.Excluded);

    internal static ReportJson From(CheckpointReport r) => new(
        r.Id, r.Epoch, r.Index, r.Label, r.Captured, PhasesJson.Ms(r.Pause), PhasesJson.From(r.Phases),
        [.. r.Domains.Select(DomainReportJson.From)], r.LeftOut);

    internal static ReportJson From(V1.CheckpointReport r) => new(
        Guid.Parse(r.Id), r.Epoch, r.Index, r.Label, r.Captured.ToDateTimeOffset(), PhasesJson.Ms(r.Pause.ToTimeSpan()),
        PhasesJson.From(r.Phases), [.. r.Domains.Select(DomainReportJson.From)], [.. r.LeftOut.Select(LeftOutFrom)]);

    /// <summary>One that a daemon names.</summary>
    internal static LeftOutDomain LeftOutFrom(V1.LeftOutDomain d) => new(Guid.Parse(d.Uuid), d.Name, d.Reason, d.Message);
}

/// <summary>Phases in milliseconds; the names are the paper's.</summary>
internal sealed record PhasesJson(double Ts, double Ta, double Tm, double Td, double Tc, double Tr)
{
    internal static PhasesJson From(PhaseTimes p) => new(
        Ms(p.Suspend), Ms(p.Registers), Ms(p.Memory), Ms(p.Disks), Ms(p.Channels), Ms(p.Resume));

    internal static PhasesJson From(V1.Phases p) => new(
        Ms(p.Suspend.ToTimeSpan()), Ms(p.Registers.ToTimeSpan()), Ms(p.Memory.ToTimeSpan()), Ms(p.Disks.ToTimeSpan()),
        Ms(p.Channels.ToTimeSpan()), Ms(p.Resume.ToTimeSpan()));

    internal static double Ms(TimeSpan t) => Math.Round(t.TotalMilliseconds, 3);
}

/// <summary>One domain's share in a checkpoint.</summary>
internal sealed record DomainReportJson(
    Guid Uuid, string Name, PhasesJson Phases, string? FullBecause, long Pages, long Residual, long Evicted, long InVain,
    long Fed, long Unpopulated, long Samples)
{
    internal static DomainReportJson From(DomainReport d) => new(
        d.Uuid, d.Name, PhasesJson.From(d.Phases), d.FullBecause, d.PopulatedPages, d.Memory.Residual, d.Memory.Evicted,
        d.Memory.InVain, d.Memory.Fed, d.Memory.Unpopulated, d.Memory.Samples);

    internal static DomainReportJson From(V1.DomainReport d) => new(
        Guid.Parse(d.Uuid), d.Name, PhasesJson.From(d.Phases), d.HasFullBecause ? d.FullBecause : null, (long)d.Pages,
        (long)d.Residual, (long)d.Evicted, (long)d.InVain, (long)d.Fed, (long)d.Unpopulated, (long)d.Samples);
}

/// <summary>What <c>xtlctl show --json</c> prints.</summary>
internal sealed record ShowJson(CheckpointJson Checkpoint, IReadOnlyList<DomainReportJson> Domains);

/// <summary>What <c>xtlctl prune --json</c> and <c>fold --json</c> print.</summary>
internal sealed record RetentionJson(
    int Folded, int Merged, IReadOnlyList<Guid> Removed, IReadOnlyList<Finding> Problems, IReadOnlyList<string> Undone)
{
    internal static RetentionJson From(RetentionResult r) =>
        new(r.Folded.Count, r.Merged.Count, [.. r.Removed.Select(m => m.Id)], r.Problems, r.Undone);
}

/// <summary>Serialisers made at build time.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true)]
[JsonSerializable(typeof(CheckpointJson[]))]
[JsonSerializable(typeof(ReportJson))]
[JsonSerializable(typeof(ShowJson))]
[JsonSerializable(typeof(RetentionJson))]
[JsonSerializable(typeof(IReadOnlyList<Finding>))]
[JsonSerializable(typeof(Guid[]))]
internal sealed partial class CheckpointJsonContext : JsonSerializerContext;
