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

    private static int RunAll(int from, int count, bool all, TextWriter output, TextWriter error)
    {
        long start = Stopwatch.GetTimestamp();
        long told = start;
        (long recoveries, long lost, long records, long things, int failed, int judged) = (0, 0, 0, 0, 0, 0);
        for (int i = 0; i < count; i++)
        {
            var plan = new SimulationPlan(from + i);
            if (Try(plan, out SimulationOutcome outcome, out long events) is { } problem)
            {
                output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"seed {plan.Seed} of {i + 1} runs: {problem}"));
                failed++;
                if (all)
                {
                    continue;
                }

                Shrink(plan, output);
                output.WriteLine("simulation: FAILED");
                return Failed;
            }

            recoveries += outcome.Recoveries;
            lost += outcome.Lost;
            records += outcome.Records;
            judged += outcome.Judged ? 1 : 0;
            things += events;
            if (!Console.IsErrorRedirected && Stopwatch.GetElapsedTime(told).TotalSeconds >= 1)
            {
                told = Stopwatch.GetTimestamp();
                error.Write(string.Create(CultureInfo.InvariantCulture, $"\r{i + 1} of {count} runs"));
            }
        }

        output.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{count} runs: {things} events, {recoveries} recoveries, {lost} hosts lost for good, {judged} traces judged with {records} records; {Stopwatch.GetElapsedTime(start).TotalSeconds:0} s"));
        output.WriteLine(failed == 0 ? "simulation: OK" : string.Create(CultureInfo.InvariantCulture, $"simulation: {failed} of {count} runs FAILED"));
        return failed == 0 ? 0 : Failed;
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
