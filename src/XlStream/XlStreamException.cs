namespace XenTwoLevelCkpt.XlStream;

/// <summary>A stream is damaged, cut, or uses something that this version of the software does not read.</summary>
public sealed class XlStreamException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="offset">Where in the stream, in bytes.</param>
    /// <param name="expected">What should be there.</param>
    /// <param name="found">What is there.</param>
    /// <param name="inner">The cause, if there is one.</param>
    public XlStreamException(long offset, string expected, string found, Exception? inner = null)
        : base($"Offset {offset}: expected {expected}, found {found}.", inner)
    {
        Offset = offset;
        Expected = expected;
        Found = found;
    }

    /// <summary>Where in the stream, in bytes.</summary>
    public long Offset { get; }

    /// <summary>What should be there.</summary>
    public string Expected { get; }

    /// <summary>What is there.</summary>
    public string Found { get; }
}
