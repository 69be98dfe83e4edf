using System.Globalization;
using System.Text.Json;
using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Checkpointing.Node.Selection;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Store;

namespace XenTwoLevelCkpt.Control.Checkpoints;

/// <summary>What <c>xtlctl checkpoint</c> and <c>xtlctl watch</c> share.</summary>
internal sealed record TakeOptions
{
    internal required Places Places { get; init; }

    internal string Label { get; init; } = "";

    internal IReadOnlyList<string> Domains { get; init; } = [];

    internal bool MemoryOnly { get; init; }

    /// <summary>Fails where a domain would be left out.</summary>
    internal bool RequireAll { get; init; }

    internal bool Json { get; init; }

    internal int? CacheEntries { get; init; }

    internal TimeSpan AllowedPause { get; init; }

    internal TimeSpan SuspendTimeout { get; init; }

    internal long? Bandwidth { get; init; }

    internal double BackgroundShare { get; init; }

    internal int StagingMiB { get; init; }

    /// <summary>For <c>watch</c>: the time from one checkpoint to the next.</summary>
    internal TimeSpan Every { get; init; }

    /// <summary>How many checkpoints; 0 for no end.</summary>
    internal int Count { get; init; } = 1;

    internal RetentionPolicy? Retention { get; init; }
}

/// <summary><c>xtlctl checkpoint</c> and <c>xtlctl watch</c>: take checkpoints of all domains together.</summary>
internal sealed class TakeCommand(
    Func<IHypervisor> openHypervisor, Func<IHypervisor, ICheckpointStore, Places, IDiskProvider> disks, TextWriter output,
    TextWriter error)
{
    internal async Task<int> RunAsync(TakeOptions options, CancellationToken cancellationToken)
    {
        using IHypervisor hypervisor = openHypervisor();
        using DirectoryStore store = DirectoryStore.Open(options.Places.Store);

        // The store has one writer, so whoever had it before has ended.
        foreach (string line in NodeRecovery.Run(
            options.Places.State, hypervisor, m => error.WriteLine($"xtlctl: {m}")))
        {
            await error.WriteLineAsync($"xtlctl: {line}").ConfigureAwait(false);
        }

        var node = new NodeCheckpointer(
            hypervisor, store, disks(hypervisor, store, options.Places), Settings(options, hypervisor))
        {
            Log = m => error.WriteLine($"xtlctl: {m}"),
        };
        using Guardian guardian = Guardian.Start(options.Places.State);
        await using (node.ConfigureAwait(false))
        {
            var tidying = new Tidying(
                store, options.Retention, m => error.WriteLine($"xtlctl: {m}"), cancellationToken);
            try
            {
                return await LoopAsync(node, store, options, tidying, cancellationToken).ConfigureAwait(false);
            }
            finally
            {
                await tidying.FinishAsync().ConfigureAwait(false);
            }
        }
    }

    private static NodeOptions Settings(TakeOptions options, IHypervisor hypervisor) => new()
    {
        StateDirectory = options.Places.State,
        Domains = options.Domains.Count == 0
            ? null
            : [.. options.Domains.Select(d => hypervisor.FindDomain(d).Uuid)],
        MemoryOnly = options.MemoryOnly,
        WhenUnable = options.Domains.Count == 0 && !options.RequireAll ? UnableRule.Skip : UnableRule.Fail,
        CacheEntries = options.CacheEntries,
        AllowedPause = options.AllowedPause,
        SuspendTimeout = options.SuspendTimeout,
        BackgroundBandwidth = options.Bandwidth,
        BackgroundShare = options.BackgroundShare,
        StagingPages = options.StagingMiB << 8,
    };

    private async Task<int> LoopAsync(
        NodeCheckpointer node, DirectoryStore store, TakeOptions options, Tidying tidying,
        CancellationToken cancellationToken)
    {
        ulong index = store.Checkpoints.Count == 0 ? 0 : store.Checkpoints.Max(m => m.Closing.Index);
        bool failed = false, partial = false;
        if (options.Count != 1)
        {
            node.Start();
        }

        for (int taken = 0; options.Count == 0 || taken < options.Count; taken++)
        {
            if (taken > 0)
            {
                await Task.Delay(options.Every, cancellationToken)
                    .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }

            if (cancellationToken.IsCancellationRequested)
            {
                return options.Count == 0 ? ExitCodes.Ok : ExitCodes.Interrupted;
            }

            try
            {
                CheckpointReport report = await ProgressDisplay.RunAsync(
                    p => node.CheckpointAsync(index + 1, options.Label, p, cancellationToken: cancellationToken)).ConfigureAwait(false);
                index++;
                failed = false;
                var told = ReportJson.From(report);
                partial = told.IsPartial;
                Print(output, told, options.Json);
            }
            catch (CheckpointFailedException e) when (options.Count != 1)
            {
                // The next one may succeed: nothing is lost.
                failed = true;
                await error.WriteLineAsync($"xtlctl: {e.Message}").ConfigureAwait(false);
            }

            tidying.Begin();
        }

        return failed ? ExitCodes.Failure : partial ? ExitCodes.Partial : ExitCodes.Ok;
    }

    /// <summary>Prints how a checkpoint went.</summary>
    internal static void Print(TextWriter output, ReportJson report, bool json)
    {
        if (json)
        {
            output.WriteLine(JsonSerializer.Serialize(report, CheckpointJsonContext.Default.ReportJson));
            return;
        }

        output.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"checkpoint {report.Id} epoch {report.Epoch} index {report.Index}, pause {report.PauseMs:F1} ms"));
        ShowCommand.PrintPhases(output, report.Domains);
        ShowCommand.PrintLeftOut(output, report.LeftOut);
    }
}
