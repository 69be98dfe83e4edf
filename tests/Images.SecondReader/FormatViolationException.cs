using System.Diagnostics.CodeAnalysis;

namespace XenTwoLevelCkpt.Images.SecondReader;

/// <summary>A file or a store breaks a rule of docs/checkpoint-format.md.</summary>
public sealed class FormatViolationException : Exception
{
    /// <summary>Makes the exception for one broken rule.</summary>
    /// <param name="section">The section of the document that has the rule, such as <c>5.2</c>.</param>
    /// <param name="rule">What does not hold.</param>
    /// <param name="cause">The exception that showed it, if any.</param>
    public FormatViolationException(string section, string rule, Exception? cause = null)
        : base($"section {section}: {rule}", cause)
    {
        Section = section;
    }

    /// <summary>The section of the document that has the rule.</summary>
    public string Section { get; }
}

internal static class Rule
{
    public static void Require([DoesNotReturnIf(false)] bool holds, string section, string rule)
    {
        if (!holds)
        {
            throw new FormatViolationException(section, rule);
        }
    }
}
