using System.CommandLine;
using XenTwoLevelCkpt.Protocol.Checking;

namespace XenTwoLevelCkpt.Simulator;

/// <summary><c>xtlsim merge</c>: one trace out of those of single nodes.</summary>
internal static class MergeCommand
{
    /// <summary>Makes the command.</summary>
    internal static Command Make()
    {
        var files = new Argument<string[]>("TRACE")
        {
            Description = "The traces, each node's records in one of them.",
            Arity = ArgumentArity.OneOrMore,
        };
        var target = new Option<string>("--out")
        {
            Description = "The merged trace; JSON lines where its name ends in .jsonl.",
            HelpName = "FILE",
            Required = true,
        };
        var failed = new Option<string[]>("--failed")
        {
            Description = "Those of them whose nodes are lost: where such a trace is cut, its node failed.",
            HelpName = "TRACE",
            AllowMultipleArgumentsPerToken = true,
        };
        var command = new Command(
            "merge", "Merge the traces that single nodes recorded into one for 'xtlsim check': each delivery after its send.")
        {
            files, target, failed,
        };
        command.SetAction(result =>
        {
            var streams = new List<FileStream>();
            string[] lost = result.GetValue(failed) ?? [];
            TraceReader Opened(string path)
            {
                streams.Add(lost.Contains(path) ? EndWithFailure(path) : File.OpenRead(path));
                try
                {
                    return TraceReader.Open(streams[^1]);
                }
                catch (TraceException e)
                {
                    throw new TraceException($"{path}: {e.Message}", e);
                }
            }

            try
            {
                string[] paths = result.GetRequiredValue(files);
                TraceHeader header = TraceMerger.HeaderOf([.. paths.Select(path => Opened(path).Header)]);
                string output = result.GetRequiredValue(target);
                OutputFiles.WriteStream(output, stream =>
                {
                    using TraceWriter writer = TraceWriter.Create(
                        stream, header, output.EndsWith(".jsonl", StringComparison.Ordinal));
                    TraceMerger.Merge([.. paths.Select(path => new Func<TraceReader>(() => Opened(path)))], writer);
                    writer.Complete();
                });
            }
            finally
            {
                streams.ForEach(stream => stream.Dispose());
            }

            return ExitCodes.Ok;
        });
        return command;
    }

    // A copy up to where the trace is cut, with the node's failure and the end behind it.
    private static FileStream EndWithFailure(string path)
    {
        using FileStream input = File.OpenRead(path);
        TraceReader reader = TraceReader.Open(input);
        var copy = new FileStream(
            Path.GetTempFileName(), FileMode.Create, FileAccess.ReadWrite, FileShare.None, 1 << 16, FileOptions.DeleteOnClose);
        using TraceWriter writer = TraceWriter.Create(copy, reader.Header);
        int node = -1;
        try
        {
            while (reader.TryRead(out TraceEvent item))
            {
                node = item.Node;
                writer.Write(item);
            }
        }
        catch (TraceException) when (node >= 0)
        {
            writer.Write(TraceEvent.Failure(node));
        }

        writer.Complete();
        copy.Position = 0;
        return copy;
    }
}
