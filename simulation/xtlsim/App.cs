using System.CommandLine;
using XenTwoLevelCkpt.Protocol.Checking;
using XenTwoLevelCkpt.Simulation;

namespace XenTwoLevelCkpt.Simulator;

/// <summary>The command line of <c>xtlsim</c>.</summary>
/// <param name="output">Receives results.</param>
/// <param name="error">Receives messages and progress.</param>
internal sealed class App(TextWriter output, TextWriter error)
{
    /// <summary>Runs one command.</summary>
    /// <param name="args">The command line.</param>
    /// <param name="cancellation">Ends it before its time.</param>
    /// <returns>One of <see cref="ExitCodes"/>.</returns>
    internal int Run(string[] args, CancellationToken cancellation = default) => Run(args, joined: null, cancellation);

    /// <summary>Runs one command, with the results of a study's jobs at hand.</summary>
    /// <param name="args">The command line.</param>
    /// <param name="joined">The results; null to run the jobs.</param>
    /// <param name="cancellation">Ends it before its time.</param>
    internal int Run(string[] args, double[][]? joined, CancellationToken cancellation)
    {
        var context = new AppContext(output, error, args, joined, cancellation);
        RootCommand root = Root(context);
        try
        {
            ParseResult parsed = ConfigurationFile.Apply(root, args);
            if (parsed.Errors.Count > 0)
            {
                error.WriteLine($"xtlsim: {parsed.Errors[0].Message}");
                return ExitCodes.Usage;
            }

            return parsed.Invoke(new InvocationConfiguration
            {
                Output = output,
                Error = error,
                EnableDefaultExceptionHandler = false,
            });
        }
        catch (OperationCanceledException)
        {
            return ExitCodes.Interrupted;
        }
        catch (Exception e) when (e is SettingsException or FormatException or InvalidDataException or IOException
            or UnauthorizedAccessException or GnuplotException or TraceException)
        {
            error.WriteLine($"xtlsim: {e.Message}");
            return e switch
            {
                SettingsException or FormatException => ExitCodes.Usage,
                InvalidDataException or TraceException or FileNotFoundException or DirectoryNotFoundException
                    or UnauthorizedAccessException => ExitCodes.Data,
                GnuplotException => ExitCodes.Unavailable,
                _ => ExitCodes.CannotWrite,
            };
        }
    }

    private RootCommand Root(AppContext context) => new("Discrete-event studies of checkpoint protocols.")
    {
        RunCommand.Make(context),
        Figure5Command.Make(context),
        CompareCommand.Make(context),
        SweepCommand.Make(context),
        IntervalCommand.Make(context),
        ScaleCommand.Make(context),
        CheckCommand.Make(context),
        MergeCommand.Make(),
        BenchCommand.Make(context),
        JoinCommand.Make(context, (args, results) => Run(args, results, context.Cancellation)),
    };
}
