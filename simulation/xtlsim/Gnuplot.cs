using System.Diagnostics;

namespace XenTwoLevelCkpt.Simulator;

/// <summary>gnuplot is not installed, or refused a script.</summary>
/// <param name="message">One line, with what to do.</param>
internal sealed class GnuplotException(string message) : Exception(message);

/// <summary>Draws with the system's gnuplot.</summary>
internal static class Gnuplot
{
    // Gnuplot opens a group for each change of pen, also where nothing is drawn with it: a third of the file.
    private static string WithoutEmptyGroups(string svg)
    {
        var kept = new List<string>();
        foreach (string line in svg.Split('\n'))
        {
            if (line == "</g>" && kept.Count > 0 && kept[^1].StartsWith("<g ", StringComparison.Ordinal)
                && kept[^1].EndsWith('>') && !kept[^1].Contains("</", StringComparison.Ordinal))
            {
                kept.RemoveAt(kept.Count - 1);
            }
            else if (!string.IsNullOrWhiteSpace(line))
            {
                kept.Add(line);
            }
        }

        return string.Join('\n', kept) + "\n";
    }

    /// <summary>Draws a script that prints SVG to its standard output.</summary>
    /// <param name="script">The script; its data are in it.</param>
    /// <returns>The SVG.</returns>
    /// <exception cref="GnuplotException">gnuplot is missing or failed.</exception>
    internal static string Draw(string script)
    {
        var start = new ProcessStartInfo("gnuplot", ["-"])
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        Process process;
        try
        {
            process = Process.Start(start) ?? throw new GnuplotException("gnuplot did not start");
        }
        catch (System.ComponentModel.Win32Exception)
        {
            throw new GnuplotException(
                "gnuplot is not installed, so there are no pictures; 'apt-get install gnuplot-nox' brings it (the CSV is "
                + "complete, '--no-plot' leaves the pictures out)");
        }

        using (process)
        {
            Task<string> output = process.StandardOutput.ReadToEndAsync();
            Task<string> error = process.StandardError.ReadToEndAsync();
            try
            {
                process.StandardInput.Write(script);
                process.StandardInput.Close();
            }
            catch (IOException)
            {
                // It ended before it had read everything; why is in its messages.
            }

            process.WaitForExit();
            string svg = output.GetAwaiter().GetResult(), messages = error.GetAwaiter().GetResult();
            return process.ExitCode == 0 && svg.Contains("</svg>", StringComparison.Ordinal)
                ? WithoutEmptyGroups(svg)
                : throw new GnuplotException($"gnuplot failed: {messages.ReplaceLineEndings(" ").Trim()}");
        }
    }
}
