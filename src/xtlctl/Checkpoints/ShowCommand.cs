using System.Globalization;
using System.Text.Json;
using XenTwoLevelCkpt.Checkpointing.Restore;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Images.Verification;

namespace XenTwoLevelCkpt.Control.Checkpoints;

/// <summary>Commands that read a store: <c>checkpoints</c>, <c>show</c>, <c>verify</c>. They need no Xen.</summary>
internal sealed class ShowCommand(TextWriter output)
{
    internal int List(Places places, bool json)
    {
        using DirectoryStore store = DirectoryStore.OpenReadOnly(places.Store);
        PrintList(output, [.. store.Checkpoints.Select(m => CheckpointJson.From(store, m))], json);
        return ExitCodes.Ok;
    }

    /// <summary>Prints checkpoints.</summary>
    internal static void PrintList(TextWriter output, IReadOnlyList<CheckpointJson> checkpoints, bool json)
    {
        if (json)
        {
            output.WriteLine(JsonSerializer.Serialize([.. checkpoints], CheckpointJsonContext.Default.CheckpointJsonArray));
            return;
        }

        var table = new TextTable("EPOCH", "INDEX", "CAPTURED", "DOMAINS", "LEFT OUT", "MIB", "KEPT", "ID", "LABEL");
        foreach (CheckpointJson c in checkpoints)
        {
            table.Add(
                $"{c.Epoch}", $"{c.Index}", c.Captured.ToString("u", CultureInfo.InvariantCulture),
                string.Join(',', c.Domains.Select(d => d.Name)),
                c.LeftOut.Count == 0 ? "-" : string.Join(',', c.LeftOut.Select(d => d.Name)), Mebibytes(c.Bytes),
                c.Expendable ? "for others" : "", $"{c.Id}", c.Label);
        }

        table.Write(output);
    }

    internal int Show(Places places, string checkpoint, bool json)
    {
        using DirectoryStore store = DirectoryStore.OpenReadOnly(places.Store);
        CheckpointManifest manifest = store.Find(checkpoint);
        var restorer = new Restorer(store);
        List<DomainReportJson> reports = [.. manifest.Domains
            .Select(d => restorer.ReadState(manifest.Id, d.Uuid).Report)
            .OfType<Checkpointing.Node.DomainReport>()
            .Select(DomainReportJson.From)];
        Print(output, CheckpointJson.From(store, manifest), reports, json);
        return ExitCodes.Ok;
    }

    /// <summary>Prints a checkpoint.</summary>
    internal static void Print(
        TextWriter output, CheckpointJson shown, IReadOnlyList<DomainReportJson> reports, bool json)
    {
        if (json)
        {
            output.WriteLine(JsonSerializer.Serialize(
                new ShowJson(shown, reports), CheckpointJsonContext.Default.ShowJson));
            return;
        }

        output.WriteLine($"checkpoint {shown.Id}");
        output.WriteLine($"epoch {shown.Epoch}, index {shown.Index}, label '{shown.Label}', node {shown.Node}");
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"captured {shown.Captured:u}"));
        if (shown.Expendable)
        {
            output.WriteLine("kept only because others build upon it");
        }

        PrintPhases(output, reports);
        PrintLeftOut(output, shown.LeftOut);
        var parts = new TextTable("DOMAIN", "PART", "DISK", "KIND", "BYTES", "FILE");
        foreach (CheckpointDomainJson domain in shown.Domains)
        {
            foreach (PartJson part in domain.Parts)
            {
                parts.Add(domain.Name, part.Content, part.Name, part.Kind, $"{part.Bytes}", part.File);
            }
        }

        parts.Write(output);
    }

    internal int Verify(Places places, string? checkpoint, bool json)
    {
        using DirectoryStore store = DirectoryStore.OpenReadOnly(places.Store);
        IReadOnlyList<Finding> findings = checkpoint is null
            ? Verifier.VerifyStore(store, meaning: new Restorer(store).Problem)
            : [.. store.Problems, .. VerifyOne(store, store.Find(checkpoint))];
        return PrintFindings(output, findings, checkpoint is null ? store.Checkpoints.Count : 1, json);
    }

    /// <summary>Prints what a check found.</summary>
    /// <returns>The exit code.</returns>
    internal static int PrintFindings(TextWriter output, IReadOnlyList<Finding> findings, int checkpoints, bool json)
    {
        if (json)
        {
            output.WriteLine(JsonSerializer.Serialize(findings, CheckpointJsonContext.Default.IReadOnlyListFinding));
        }
        else
        {
            foreach (Finding finding in findings)
            {
                output.WriteLine($"{finding.File}, octet {finding.Offset}: {finding.Problem}");
            }

            output.WriteLine(findings.Count == 0
                ? $"{checkpoints} checkpoints are whole"
                : $"{findings.Count} findings");
        }

        return findings.Count == 0 ? ExitCodes.Ok : ExitCodes.Damaged;
    }

    /// <summary>Names the domains that are not part of a checkpoint.</summary>
    internal static void PrintLeftOut(TextWriter output, IReadOnlyList<LeftOutDomain> domains)
    {
        foreach (LeftOutDomain domain in domains)
        {
            output.WriteLine($"not in it: {(domain.Name.Length > 0 ? domain.Name : $"{domain.Uuid}")} ({domain.Reason}): {domain.Message}");
        }
    }

    /// <summary>Prints phases and pages of each domain.</summary>
    internal static void PrintPhases(TextWriter output, IReadOnlyList<DomainReportJson> domains)
    {
        var table = new TextTable(
            "DOMAIN", "T_s ms", "T_a ms", "T_m ms", "T_d ms", "T_c ms", "T_r ms", "PAGES", "RESIDUAL", "EVICTED", "IN VAIN",
            "MEMORY");
        foreach (DomainReportJson d in domains)
        {
            PhasesJson p = d.Phases;
            table.Add(
                d.Name, Ms(p.Ts), Ms(p.Ta), Ms(p.Tm), Ms(p.Td), Ms(p.Tc), Ms(p.Tr), $"{d.Pages}", $"{d.Residual}",
                $"{d.Evicted + d.Fed}", $"{d.InVain}", d.FullBecause is null ? "increment" : "full");
        }

        table.Write(output);
        foreach (DomainReportJson d in domains.Where(d => d.FullBecause is not null))
        {
            output.WriteLine($"{d.Name} is full: {d.FullBecause}");
        }
    }

    private static IEnumerable<Finding> VerifyOne(DirectoryStore store, CheckpointManifest manifest) =>
        manifest.Domains.SelectMany(d => d.Parts.SelectMany(
            p => Verifier.VerifyChain(store, manifest.Id, d.Uuid, p.Content, p.Name)))
            .Concat(Verifier.VerifyMeaning(store, manifest, new Restorer(store).Problem));

    private static string Ms(double value) => value.ToString("F2", CultureInfo.InvariantCulture);

    private static string Mebibytes(long bytes) => (bytes / 1048576.0).ToString("F1", CultureInfo.InvariantCulture);
}
