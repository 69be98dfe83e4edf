namespace XenTwoLevelCkpt.NativeInterop.Xen;

/// <summary>The connection to xenstored broke.</summary>
internal sealed class XenStoreLostException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="errno">Why, or 0 where xenstored closed it.</param>
    /// <param name="mayBeDone">True where xenstored may have done what it was asked.</param>
    internal XenStoreLostException(int errno, bool mayBeDone)
        : base("The connection to xenstored broke.")
    {
        Errno = errno;
        MayBeDone = mayBeDone;
    }

    /// <summary>Why, or 0 where xenstored closed it.</summary>
    internal int Errno { get; }

    /// <summary>True where xenstored may have done what it was asked: a message of which it has only a part it does not act on.
    /// </summary>
    internal bool MayBeDone { get; }
}
