using System.CommandLine.Parsing;
using XenTwoLevelCkpt.Checkpointing.Settings;

namespace XenTwoLevelCkpt.Control;

/// <summary>Durations and sizes on the command line.</summary>
internal static class Arguments
{
    /// <summary>Reads a duration, and reports one that makes no sense.</summary>
    /// <param name="result">The option's argument.</param>
    internal static TimeSpan Duration(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        if (!Durations.TryParse(text, out TimeSpan value))
        {
            result.AddError($"'{text}' is no duration; write a number with ms, s, m or h, such as 200ms or 5s.");
        }

        return value;
    }

    /// <summary>Reads a size, and reports one that makes no sense.</summary>
    /// <param name="result">The option's argument.</param>
    internal static long Size(ArgumentResult result)
    {
        string text = result.Tokens.Count == 1 ? result.Tokens[0].Value : "";
        if (Sizes.TryParse(text, out long bytes))
        {
            return bytes;
        }

        result.AddError($"'{text}' is no size: a whole number of bytes, or of K, M, G or T, such as 64M.");
        return 0;
    }
}
