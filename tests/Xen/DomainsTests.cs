using System.Text.Json;
using System.Text.RegularExpressions;

namespace XenTwoLevelCkpt.XenTests;

/// <summary><c>xtlctl domains</c>, judged by <c>xl list -v</c>.</summary>
public sealed partial class DomainsTests
{
    [Fact]
    public async Task Running_domains_agree_with_xl_list()
    {
        // A guest wakes and sleeps between the two listings: they are compared until both saw the same states.
        await Lab.WaitForAsync(
            () =>
            {
                var (ours, theirs) = List();
                Assert.Equal([.. theirs.Select(d => d with { State = "" })], ours.Select(d => d with { State = "" }));
                return ours.SequenceEqual(theirs) ? ours : null;
            },
            "a moment at which xtlctl and xl agree on the states of all domains");
    }

    [Fact]
    public void Paused_domains_agree_with_xl_list()
    {
        Lab lab = Lab.Shared;
        string[] guests = [LabFixture.Pvh, LabFixture.Pv, LabFixture.Checksum];
        try
        {
            foreach (string guest in guests)
            {
                lab.Exec(1, "xl", "pause", guest);
            }

            var (ours, theirs) = List();
            Assert.Equal(theirs, ours);
            Assert.Equal(guests.Length, ours.Count(d => d.State == "--p---"));
        }
        finally
        {
            foreach (string guest in guests)
            {
                lab.Exec(1, "xl", "unpause", guest);
            }
        }
    }

    [Fact]
    public void Kinds_are_those_that_the_guests_were_made_with()
    {
        JsonElement domains = Lab.Shared.ExecJson(1, "xtlctl", "domains", "--json");
        string? KindOf(string name) => domains.EnumerateArray()
            .Single(d => d.GetProperty("name").GetString() == name).GetProperty("kind").GetString();
        Assert.Equal("control", KindOf("Domain-0"));
        Assert.Equal("pvh", KindOf(LabFixture.Pvh));
        Assert.Equal("pv", KindOf(LabFixture.Pv));
    }

    private static (List<Row> Ours, List<Row> Theirs) List()
    {
        // One shell: as close together in time as two listings can be.
        string both = Lab.Shared.Exec(1, "sh", "-c", "xtlctl domains --json && echo ==== && xl list -v");
        string[] parts = both.Split("====\n");
        using var document = JsonDocument.Parse(parts[0]);
        List<Row> ours = [.. document.RootElement.EnumerateArray().Select(d => new Row(
            d.GetProperty("name").GetString()!, d.GetProperty("id").GetInt32(), d.GetProperty("memoryMiB").GetInt64(),
            d.GetProperty("vcpus").GetInt32(), d.GetProperty("state").GetString()!, d.GetProperty("uuid").GetString()!))];
        List<Row> theirs = [.. parts[1].Split('\n').Select(line => XlLine().Match(line)).Where(m => m.Success)
            .Select(m => new Row(
                m.Groups[1].Value, int.Parse(m.Groups[2].Value), long.Parse(m.Groups[3].Value),
                int.Parse(m.Groups[4].Value), m.Groups[5].Value, m.Groups[6].Value))];
        Assert.True(theirs.Count >= 4, "'xl list -v' shows fewer domains than the tests made");
        return (ours, theirs);
    }

    // Name ID Mem VCPUs State Time(s) UUID ...
    [GeneratedRegex(@"^(\S+)\s+(\d+)\s+(\d+)\s+(\d+)\s+([a-z-]{6})\s+[\d.]+\s+([0-9a-f-]{36})")]
    private static partial Regex XlLine();

    private sealed record Row(string Name, int Id, long MiB, int Vcpus, string State, string Uuid);
}
