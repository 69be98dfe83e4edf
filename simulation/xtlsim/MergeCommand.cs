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
            string output = result.GetRequiredValue(target);
            OutputFiles.WriteStream(output, stream => TraceFiles.Merge(
                result.GetRequiredValue(files), result.GetValue(failed) ?? [],
                header => TraceWriter.Create(stream, header, output.EndsWith(".jsonl", StringComparison.Ordinal))));
            return ExitCodes.Ok;
        });
        return command;
    }
}
