using System.CommandLine;
using XenTwoLevelCkpt.Cluster.Timelines;
using XenTwoLevelCkpt.Protocol.Checking;

namespace XenTwoLevelCkpt.Control.Clusters;

/// <summary><c>xtlctl cluster timeline</c>: a run as a picture, from the traces of its nodes.</summary>
internal static class TimelineCommand
{
    /// <summary>Makes the command.</summary>
    internal static Command Make()
    {
        var files = new Argument<string[]>("TRACE")
        {
            Description = "The trace of the whole run, or those of its nodes.",
            Arity = ArgumentArity.OneOrMore,
        };
        var target = new Option<string>("--out") { Description = "The picture.", HelpName = "FILE.svg", Required = true };
        var names = new Option<string[]>("--names")
        {
            Description = "The nodes' names, in the order of their numbers.",
            HelpName = "NAME",
            AllowMultipleArgumentsPerToken = true,
        };
        var failed = new Option<string[]>("--failed")
        {
            Description = "Those of them whose nodes are lost: where such a trace is cut, its node failed.",
            HelpName = "TRACE",
            AllowMultipleArgumentsPerToken = true,
        };
        var command = new Command(
            "timeline",
            "Draw a run as a space-time diagram: basic and forced checkpoints, the messages that forced one, failures, "
            + "rollbacks, and the recovery line.")
        {
            files, target, names, failed,
        };
        command.SetAction(result =>
        {
            Draw(
                result.GetRequiredValue(files), result.GetValue(failed) ?? [], result.GetRequiredValue(target),
                result.GetValue(names) ?? []);
            return ExitCodes.Ok;
        });
        return command;
    }

    private static void Draw(string[] files, string[] lost, string target, string[] names)
    {
        using Stream trace = files.Length == 1 && lost.Length == 0 ? File.OpenRead(files[0]) : Merge(files, lost);
        Timeline timeline = TimelineReader.Read(() =>
        {
            trace.Position = 0;
            return TraceReader.Open(trace);
        });
        if (names.Length > 0 && names.Length != timeline.Nodes)
        {
            throw new ArgumentException($"The trace has {timeline.Nodes} nodes, and {names.Length} names are given.", nameof(names));
        }

        // Nothing is left of a picture that could not be finished, and one that was there stays.
        string unfinished = $"{target}.tmp";
        try
        {
            using (FileStream output = File.Create(unfinished))
            {
                new TimelineSvg(timeline, names.Length > 0 ? names : null).Write(output);
            }

            File.Move(unfinished, target, overwrite: true);
        }
        catch
        {
            File.Delete(unfinished);
            throw;
        }
    }

    private static FileStream Merge(string[] files, string[] lost)
    {
        FileStream merged = TraceFiles.Temporary();
        try
        {
            TraceFiles.Merge(files, lost, header => TraceWriter.Create(merged, header));
            return merged;
        }
        catch
        {
            merged.Dispose();
            throw;
        }
    }
}
