namespace XenTwoLevelCkpt.Hypervisor;

/// <summary>A hypervisor did not do what it was asked.</summary>
public class HypervisorException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="message">What went wrong and what can be done.</param>
    /// <param name="inner">The cause, if there is one.</param>
    public HypervisorException(string message, Exception? inner = null)
        : base(message, inner)
    {
    }
}

/// <summary>There is no hypervisor to talk to: a device or a library is missing, or access is denied.</summary>
public sealed class HypervisorUnavailableException : HypervisorException
{
    /// <summary>Creates the exception.</summary>
    /// <param name="message">Names the device or library that is missing.</param>
    /// <param name="inner">The cause, if there is one.</param>
    public HypervisorUnavailableException(string message, Exception? inner = null)
        : base(message, inner)
    {
    }
}

/// <summary>A domain does not exist, or exists no longer.</summary>
public sealed class DomainNotFoundException : HypervisorException
{
    /// <summary>Creates the exception.</summary>
    /// <param name="domain">The name, id or UUID that was asked for.</param>
    /// <param name="inner">The cause, if there is one.</param>
    public DomainNotFoundException(string domain, Exception? inner = null)
        : base($"There is no domain {domain}.", inner) => Domain = domain;

    /// <summary>The name, id or UUID that was asked for.</summary>
    public string Domain { get; }
}

/// <summary>Somebody else already records the pages that a domain writes; such a log has one owner.</summary>
public sealed class DirtyLogBusyException : HypervisorException
{
    /// <summary>Creates the exception.</summary>
    /// <param name="domain">The domain's name or id.</param>
    /// <param name="inner">The cause, if there is one.</param>
    public DirtyLogBusyException(string domain, Exception? inner = null)
        : base(
            $"The dirty log of domain {domain} is in use by another program: a migration, an 'xl save' or another "
            + "checkpointing daemon. Try again when that has ended.",
            inner)
    {
    }
}

/// <summary>A dirty log was taken over or switched off by somebody else; pages are missing from it.</summary>
public sealed class DirtyLogLostException : HypervisorException
{
    /// <summary>Creates the exception.</summary>
    /// <param name="domain">The domain's name or id.</param>
    /// <param name="inner">The cause, if there is one.</param>
    public DirtyLogLostException(string domain, Exception? inner = null)
        : base(
            $"The dirty log of domain {domain} was switched off by another program, so the pages written since are "
            + "unknown; the next checkpoint has to be a full one.",
            inner)
    {
    }
}

/// <summary>A domain is being built: the toolstack has no configuration of it yet, and it has never run.</summary>
public sealed class DomainUnfinishedException : HypervisorException
{
    /// <summary>Creates the exception.</summary>
    /// <param name="domain">The domain's name or id.</param>
    public DomainUnfinishedException(string domain)
        : base($"Domain {domain} is being created or restored: the toolstack has no configuration of it yet.")
    {
    }
}

/// <summary>A guest did not suspend; it runs on.</summary>
public sealed class SuspendFailedException : HypervisorException
{
    /// <summary>Creates the exception.</summary>
    /// <param name="domain">The domain's name or id.</param>
    /// <param name="stage">How far the request came.</param>
    /// <param name="reason">What happened, as a sentence.</param>
    public SuspendFailedException(string domain, SuspendStage stage, string reason)
        : base($"Domain {domain} was not suspended: {reason}") => Stage = stage;

    /// <summary>How far the request came.</summary>
    public SuspendStage Stage { get; }
}

/// <summary>How far a request to suspend came.</summary>
public enum SuspendStage
{
    /// <summary>The request could not be made, for instance because the domain had crashed.</summary>
    Request,

    /// <summary>The guest did not acknowledge the request.</summary>
    Acknowledge,

    /// <summary>The guest acknowledged and then did not suspend in time.</summary>
    Suspend,
}
