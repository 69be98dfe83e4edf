using System.CommandLine;

namespace XenTwoLevelCkpt.Simulator;

/// <summary><c>xtlsim join</c>.</summary>
internal static class JoinCommand
{
    /// <summary>Makes the command.</summary>
    /// <param name="context">What commands share.</param>
    /// <param name="run">Runs a study's command line with the results of its jobs.</param>
    internal static Command Make(AppContext context, Func<string[], double[][], int> run)
    {
        var files = new Argument<string[]>("FILE")
        {
            Description = "The shards, all of them.",
            Arity = ArgumentArity.OneOrMore,
        };
        var folder = new Option<string?>("--out") { Description = "A directory for CSV and SVG.", HelpName = "DIR" };
        var json = new Option<bool>("--json") { Description = "Print JSON." };
        var csv = new Option<bool>("--csv") { Description = "Print CSV." };
        var noPlot = new Option<bool>("--no-plot") { Description = "No pictures, so no gnuplot." };
        var command = new Command("join", "Join the shards of a study.") { files, folder, json, csv, noPlot };
        command.SetAction(result =>
        {
            ShardFile[] shards = [.. result.GetRequiredValue(files).Select(ShardFile.Read)];
            ShardFile first = shards[0];
            var results = new double[first.AllJobs][];
            foreach (ShardFile shard in shards)
            {
                if (shard.AllJobs != first.AllJobs || !shard.Args.SequenceEqual(first.Args))
                {
                    throw new InvalidDataException(
                        $"shards of different studies: '{string.Join(' ', first.Args)}' and '{string.Join(' ', shard.Args)}'");
                }

                for (int i = 0; i < shard.Jobs.Length; i++)
                {
                    int job = shard.Jobs[i];
                    if (job < 0 || job >= results.Length || results[job] is not null)
                    {
                        throw new InvalidDataException($"job {job} is in two shards, or in none of the study");
                    }

                    results[job] = shard.Results[i];
                }
            }

            int missing = results.Count(values => values is null);
            if (missing > 0)
            {
                throw new InvalidDataException($"{missing} of {results.Length} jobs are missing; name all shards");
            }

            var args = new List<string>(first.Args);
            if (result.GetValue(folder) is { } path)
            {
                args.AddRange(["--out", path]);
            }

            args.AddRange(new[] { json, csv, noPlot }.Where(result.GetValue).Select(option => option.Name));
            return run([.. args], results);
        });
        return command;
    }
}
