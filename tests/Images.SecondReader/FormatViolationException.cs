using System.Diagnostics.CodeAnalysis;

namespace XenTwoLevelCkpt.Images.SecondReader;

/// <summary>A file or a store breaks a rule of docs/checkpoint-format.md.</summary>
public sealed class FormatViolationException : Exception
{
    /// <summary>Makes the exception for one broken rule.</summary>
    /// <param name="section">The section of the document that has the rule, such as <c>5.2</c>.</param>
    /// <param name="rule">What does not hold.</param>
    /// <param name="cause">The exception that showed it, if any.</param>
    /// <param name="later">Whether the file may be a whole one of a later format.</param>
    public FormatViolationException(string section, string rule, Exception? cause = null, bool later = false)
        : base($"section {section}: {rule}", cause)
    {
        Section = section;
        IsLaterFormat = later;
    }

    /// <summary>True where the file is not damaged, and needs a reader of a later format (section 11).</summary>
    public bool IsLaterFormat { get; }

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

    // Version, algorithms and records that a later format may have.
    public static void Knows(bool known, string section, string rule)
    {
        if (!known)
        {
            throw new FormatViolationException(section, rule, later: true);
        }
    }
}
