using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using XenTwoLevelCkpt.Protocol.Checking;

namespace XenTwoLevelCkpt.ClusterSimulation;

/// <summary>The command: runs seeds, and says which one fails, and how little of it is enough.</summary>
internal static class SimulationProgram
{
    private const int Failed = 1;

    internal static int Run(string[] args, TextWriter output, TextWriter error)
    {
        var seeds = new Option<int>("--seeds") { Description = "How many runs.", DefaultValueFactory = _ => 1_000 };
        var seed = new Option<int?>("--seed") { Description = "One run, told in full." };
        var from = new Option<int>("--from") { Description = "The first seed.", DefaultValueFactory = _ => 1 };
        var faults = new Option<int>("--faults") { Description = "The most faults of a run.", DefaultValueFactory = _ => int.MaxValue };
        var all = new Option<bool>("--all") { Description = "Goes on after a run that failed." };
        var root = new RootCommand("Runs whole clusters under a virtual clock, with faults of all kinds; the same seed gives the same run.")
        {
            seeds, seed, from, faults, all,
        };
        root.SetAction(parsed => parsed.GetValue(seed) is int one
            ? Tell(new SimulationPlan(one) { Faults = parsed.GetValue(faults), Teller = output }, output)
            : RunAll(parsed.GetValue(from), parsed.GetValue(seeds), parsed.GetValue(all), output, error));
        return root.Parse(args).Invoke(new InvocationConfiguration { Output = output, Error = error });
    }

    /// <summary>Runs one plan.</summary>
    /// <returns>What went wrong; null where nothing did.</returns>
    internal static string? Try(SimulationPlan plan, out SimulationOutcome outcome, out long events)
    {
        using var simulation = new Simulation(plan);
        outcome = simulation.Outcome;
        string? problem = null;
        try
        {
            simulation.Run();
        }
        catch (SimulationException e)
        {
            problem = e.Message;
        }
        catch (TraceException e)
        {
            problem = $"The traces cannot be judged: {e.Message}";
        }
#pragma warning disable CA1031 // Whatever is thrown, it is the run that failed.
        catch (Exception e)
#pragma warning restore CA1031
        {
            problem = e.ToString();
        }

        events = simulation.Events;
        return problem;
    }

    private static int Tell(SimulationPlan plan, TextWriter output)
    {
        string? problem = Try(plan, out SimulationOutcome outcome, out long events);
        output.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"seed {plan.Seed}: {events} events, {outcome.Recoveries} recoveries, {outcome.Lost} hosts lost, {outcome.Records} records"));
        output.WriteLine(problem is null ? "simulation: OK" : $"simulation: FAILED: {problem}");
        return problem is null ? 0 : Failed;
    }

    // Runs share nothing, so as many go at once as there are processors; what is told does not depend on which ends first.
    private static int RunAll(int from, int count, bool all, TextWriter output, TextWriter error)
    {
        long start = Stopwatch.GetTimestamp();
        var sum = new Sum();
        var failures = new SortedDictionary<int, string>();
        int done = 0;
        using var progress = new Timer(
            _ => error.Write(string.Create(CultureInfo.InvariantCulture, $"\r{Volatile.Read(ref done)} of {count} runs")), null,
            Console.IsErrorRedirected ? Timeout.InfiniteTimeSpan : TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1));
        _ = Parallel.For(0, count, new ParallelOptions { MaxDegreeOfParallelism = Environment.ProcessorCount }, (i, state) =>
        {
            // Seeds before one that failed are run to the end: the first of them is told, whatever the pace.
            if (state.LowestBreakIteration < i)
            {
                return;
            }

            var plan = new SimulationPlan(from + i);
            string? problem = Try(plan, out SimulationOutcome outcome, out long events);
            lock (failures)
            {
                done++;
                if (problem is null)
                {
                    sum = sum.With(outcome, events);
                    return;
                }

                failures.Add(plan.Seed, problem);
                if (all)
                {
                    output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"seed {plan.Seed}: {problem}"));
                }
                else
                {
                    state.Break();
                }
            }
        });

        if (!all && failures.Count > 0)
        {
            (int seed, string problem) = failures.First();
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"seed {seed} of {seed - from + 1} runs: {problem}"));
            Shrink(new SimulationPlan(seed), output);
            output.WriteLine("simulation: FAILED");
            return Failed;
        }

        output.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{count} runs: {sum.Events} events, {sum.Recoveries} recoveries, {sum.Lost} hosts lost for good, {sum.Judged} traces judged with {sum.Records} records; {Stopwatch.GetElapsedTime(start).TotalSeconds:0} s"));
        output.WriteLine(failures.Count == 0
            ? "simulation: OK"
            : string.Create(CultureInfo.InvariantCulture, $"simulation: {failures.Count} of {count} runs FAILED"));
        return failures.Count == 0 ? 0 : Failed;
    }

    private sealed record Sum(long Events = 0, int Recoveries = 0, int Lost = 0, int Judged = 0, long Records = 0)
    {
        internal Sum With(SimulationOutcome outcome, long events) => new(
            Events + events, Recoveries + outcome.Recoveries, Lost + outcome.Lost, Judged + (outcome.Judged ? 1 : 0), Records + outcome.Records);
    }

    // The fewest faults that are enough: those behind them are left out.
    private static void Shrink(SimulationPlan plan, TextWriter output)
    {
        (int least, int most) = (0, 64);
        while (least < most)
        {
            int middle = (least + most) / 2;
            if (Try(plan with { Faults = middle }, out _, out _) is null)
            {
                least = middle + 1;
            }
            else
            {
                most = middle;
            }
        }

        if (Try(plan with { Faults = least }, out _, out _) is { } problem)
        {
            output.WriteLine(string.Create(
                CultureInfo.InvariantCulture, $"with {least} faults: {problem}\nsee it: ./dev simulate --seed {plan.Seed} --faults {least}"));
        }
        else
        {
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"see it: ./dev simulate --seed {plan.Seed}"));
        }
    }
}
