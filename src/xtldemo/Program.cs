using System.Globalization;
using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Checkpointing.Restore;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Hypervisor.Model;
using XenTwoLevelCkpt.Images.Store;

// The main job on a model of a hypervisor: './dev demo --model'. The guests run in threads of this process.
string folder = Directory.CreateTempSubdirectory("xtl-demo-").FullName;
try
{
    using var hypervisor = new ModelHypervisor();
    using DirectoryStore store = DirectoryStore.Open(Path.Combine(folder, "store"));
    var disks = new ModelDisks(hypervisor, store);
    for (int i = 0; i < 3; i++)
    {
        _ = hypervisor.CreateDomain(new ModelDomainOptions
        {
            Name = $"demo-{(char)('a' + i)}",
            Workload = new StepperWorkload((ulong)i + 1, pages: 2048, pagesPerStep: 16),
        });
    }

    var taken = new List<CheckpointReport>();
    var node = new NodeCheckpointer(
        hypervisor, store, disks, new NodeOptions { StateDirectory = Path.Combine(folder, "state"), Node = "model" });
    await using (node.ConfigureAwait(false))
    {
        node.Start();
        hypervisor.Start(stepsPerSecond: 200);
        for (ulong k = 1; k <= 6; k++)
        {
            taken.Add(await node.CheckpointAsync(k).ConfigureAwait(false));
            Print(taken[^1]);
            await Task.Delay(TimeSpan.FromMilliseconds(400)).ConfigureAwait(false);
        }

        hypervisor.Stop();
    }

    foreach (CheckpointReport checkpoint in new[] { taken[2], taken[5] })
    {
        Restore(hypervisor, store, disks, checkpoint);
    }

    Console.WriteLine("demo: OK");
    return 0;
}
finally
{
    Directory.Delete(folder, recursive: true);
}

static void Print(CheckpointReport report)
{
    Console.WriteLine(string.Create(
        CultureInfo.InvariantCulture,
        $"checkpoint {report.Index}: pause {report.Pause.TotalMilliseconds:F2} ms"));
    Console.WriteLine("  DOMAIN   T_s ms  T_a ms  T_m ms  T_d ms  T_c ms  T_r ms  RESIDUAL  EVICTED  MEMORY");
    foreach (DomainReport domain in report.Domains)
    {
        PhaseTimes p = domain.Phases;
        string phases = string.Concat(
            new[] { p.Suspend, p.Registers, p.Memory, p.Disks, p.Channels, p.Resume }.Select(Ms));
        Console.WriteLine(
            $"  {domain.Name,-7}{phases}{domain.Memory.Residual,10}{domain.Memory.Evicted + domain.Memory.Fed,9}  "
            + (domain.FullBecause is null ? "increment" : "full"));
    }
}

static string Ms(TimeSpan time) => time.TotalMilliseconds.ToString("F2", CultureInfo.InvariantCulture).PadLeft(8);

// The guests are gone; they come back, verify their memory and disk, and go on.
static void Restore(ModelHypervisor hypervisor, DirectoryStore store, ModelDisks disks, CheckpointReport checkpoint)
{
    string gone = string.Join(' ', hypervisor.Guests.Select(g => StepperWorkload.StepOf(g.View)));
    foreach (ModelGuest guest in hypervisor.Guests)
    {
        guest.Destroy();
    }

    foreach (IDomain domain in new Restorer(store).Restore(
        hypervisor, store.Checkpoints.Single(c => c.Id == checkpoint.Id), disks: disks))
    {
        domain.Dispose();
    }

    string back = string.Join(' ', hypervisor.Guests.Select(g => StepperWorkload.StepOf(g.View)));
    hypervisor.Advance(100);
    foreach (ModelGuest guest in hypervisor.Guests)
    {
        if (StepperWorkload.Verify(guest.View) is { } broken)
        {
            throw new InvalidOperationException($"{guest.Name} found its memory broken: {broken}");
        }
    }

    Console.WriteLine(
        $"destroyed at steps {gone}, restored checkpoint {checkpoint.Index} at steps {back}; after 100 steps more memory "
        + "and disk are of one step");
}
