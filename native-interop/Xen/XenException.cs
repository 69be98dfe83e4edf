namespace XenTwoLevelCkpt.NativeInterop.Xen;

/// <summary>A call into one of Xen's libraries failed.</summary>
public class XenException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="operation">What was attempted, such as <c>pause domain 3</c>.</param>
    /// <param name="errno">The call's errno, or 0 where there is none.</param>
    /// <param name="message">The whole message.</param>
    /// <param name="inner">The cause, if there is one.</param>
    public XenException(string operation, int errno, string message, Exception? inner = null)
        : base(message, inner)
    {
        Operation = operation;
        Errno = errno;
    }

    /// <summary>What was attempted.</summary>
    public string Operation { get; }

    /// <summary>The call's errno, or 0 where there is none.</summary>
    public int Errno { get; }

    /// <summary>The symbolic name of <see cref="Errno"/>, such as <c>EINVAL</c>; empty where there is none.</summary>
    public string ErrnoName => Errno == 0 ? "" : Libc.Errno.NameOf(Errno);
}

/// <summary>The caller may not do this (EPERM, EACCES).</summary>
public sealed class XenPermissionException : XenException
{
    /// <inheritdoc cref="XenException(string, int, string, Exception?)"/>
    public XenPermissionException(string operation, int errno, string message)
        : base(operation, errno, message)
    {
    }
}

/// <summary>The domain or the xenstore node does not exist (ESRCH, ENOENT).</summary>
public sealed class XenNotFoundException : XenException
{
    /// <inheritdoc cref="XenException(string, int, string, Exception?)"/>
    public XenNotFoundException(string operation, int errno, string message)
        : base(operation, errno, message)
    {
    }
}

/// <summary>Somebody else uses the thing (EBUSY; for a dirty log also EINVAL).</summary>
public sealed class XenBusyException : XenException
{
    /// <inheritdoc cref="XenException(string, int, string, Exception?)"/>
    public XenBusyException(string operation, int errno, string message)
        : base(operation, errno, message)
    {
    }
}

/// <summary>This hypervisor or kernel does not have the function (ENOSYS, EOPNOTSUPP).</summary>
public sealed class XenUnsupportedException : XenException
{
    /// <inheritdoc cref="XenException(string, int, string, Exception?)"/>
    public XenUnsupportedException(string operation, int errno, string message)
        : base(operation, errno, message)
    {
    }
}

/// <summary>There is no Xen to talk to: a library, a device or xenstored is missing, or library and hypervisor are
/// of different releases.</summary>
public sealed class XenUnavailableException : XenException
{
    /// <inheritdoc cref="XenException(string, int, string, Exception?)"/>
    public XenUnavailableException(string operation, int errno, string message, Exception? inner = null)
        : base(operation, errno, message, inner)
    {
    }
}

/// <summary>xenstored did not answer in time (ETIMEDOUT). It may do later what it was asked.</summary>
public sealed class XenTimeoutException : XenException
{
    /// <inheritdoc cref="XenException(string, int, string, Exception?)"/>
    public XenTimeoutException(string operation, int errno, string message)
        : base(operation, errno, message)
    {
    }
}
