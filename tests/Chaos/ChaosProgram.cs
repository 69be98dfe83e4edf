namespace XenTwoLevelCkpt.Chaos;

/// <summary>A run from its folder's making to its removal.</summary>
public static class ChaosProgram
{
    /// <summary>Runs. Where something is wrong, says what, and leaves the folder there.</summary>
    /// <param name="options">The run.</param>
    /// <param name="output">Learns how it goes.</param>
    /// <param name="error">Learns what is wrong.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>True where all is well.</returns>
    public static async Task<bool> RunAsync(
        ChaosOptions options, TextWriter output, TextWriter error, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(output);
        ArgumentNullException.ThrowIfNull(error);
        using (var run = new ChaosRun(options, output))
        {
            try
            {
                await run.RunAsync(cancellationToken);
            }
            catch (Exception e) when (e is ChaosException or OperationCanceledException)
            {
                error.WriteLine(
                    $"chaos: seed {options.Seed}, round {run.Round}: {(e is ChaosException ? e.Message : "given up")}\n"
                    + $"chaos: logs, traces and stores are in {options.Folder}");
                return false;
            }
        }

        Directory.Delete(options.Folder, recursive: true);
        output.WriteLine("chaos: OK");
        return true;
    }
}
