using System.ComponentModel;
using System.Diagnostics;

namespace XenTwoLevelCkpt.NativeInterop.Tests.Proof;

/// <summary>The system's C compiler and the headers to prove bindings against.</summary>
internal static class CCompiler
{
    private const string Packages = "Install the packages libxen-dev, gcc, libc6-dev, linux-libc-dev and liblz4-dev.";

    /// <summary>Xen's headers of another release than the installed one, or null.</summary>
    internal static string? HeaderRoot { get; } = Environment.GetEnvironmentVariable("XTL_HEADERS");

    /// <summary>Compiles without producing code, and returns what the compiler says; empty where all is well.</summary>
    internal static string Check(string source) => Run(source, "-fsyntax-only");

    /// <summary>Returns the prototypes that a source's headers declare.</summary>
    internal static string Prototypes(string source)
    {
        string file = Path.GetTempFileName();
        try
        {
            string errors = Run(source, "-fsyntax-only", "-aux-info", file);
            Xunit.Assert.True(errors.Length == 0, errors);
            return File.ReadAllText(file);
        }
        finally
        {
            File.Delete(file);
        }
    }

    /// <summary>Returns the files that a source includes.</summary>
    internal static string[] Includes(string source) =>
        Run(source, "-M").Split([' ', '\n', '\\'], StringSplitOptions.RemoveEmptyEntries)[1..];

    private static string Run(string source, params string[] options)
    {
        var start = new ProcessStartInfo("cc")
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (string option in options)
        {
            start.ArgumentList.Add(option);
        }

        if (HeaderRoot is not null)
        {
            start.ArgumentList.Add("-I");
            start.ArgumentList.Add(HeaderRoot);
        }

        // Warnings about the headers themselves are no failure of a binding.
        start.ArgumentList.Add("-w");
        start.ArgumentList.Add("-x");
        start.ArgumentList.Add("c");
        start.ArgumentList.Add("-");
        try
        {
            using Process cc = Process.Start(start)!;
            Task<string> output = cc.StandardOutput.ReadToEndAsync();
            Task<string> errors = cc.StandardError.ReadToEndAsync();
            cc.StandardInput.Write(source);
            cc.StandardInput.Close();
            cc.WaitForExit();
            string message = errors.GetAwaiter().GetResult();
            if (message.Contains("No such file or directory", StringComparison.Ordinal))
            {
                Xunit.Assert.Fail($"A header is missing. {Packages}\n{message}");
            }

            return output.GetAwaiter().GetResult() + message;
        }
        catch (Win32Exception e)
        {
            Xunit.Assert.Fail($"There is no C compiler (cc). {Packages}\n{e.Message}");
            return "";
        }
    }
}
