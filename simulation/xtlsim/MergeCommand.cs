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
        var command = new Command(
            "merge", "Merge the traces that single nodes recorded into one for 'xtlsim check': each delivery after its send.")
        {
            files, target,
        };
        command.SetAction(result =>
        {
            var streams = new List<FileStream>();
            TraceReader Opened(string path)
            {
                streams.Add(File.OpenRead(path));
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
}
