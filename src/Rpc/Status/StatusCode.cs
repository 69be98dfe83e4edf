namespace XenTwoLevelCkpt.Rpc;

/// <summary>How a call ended (gRPC's status codes; the numbers are those on the wire).</summary>
public enum StatusCode
{
    /// <summary>It succeeded.</summary>
    Ok = 0,

    /// <summary>The caller gave it up.</summary>
    Cancelled = 1,

    /// <summary>The answer told no code that can be understood.</summary>
    Unknown = 2,

    /// <summary>The request is wrong, whatever the state of the server. Never made by this library itself.</summary>
    InvalidArgument = 3,

    /// <summary>The deadline passed.</summary>
    DeadlineExceeded = 4,

    /// <summary>What is named does not exist. Never made by this library itself.</summary>
    NotFound = 5,

    /// <summary>What was to be made exists. Never made by this library itself.</summary>
    AlreadyExists = 6,

    /// <summary>The caller may not do that.</summary>
    PermissionDenied = 7,

    /// <summary>Something is used up, or a message is longer than the limit.</summary>
    ResourceExhausted = 8,

    /// <summary>The state of the server does not allow it; trying again is of no use before that changes. Never made by
    /// this library itself.</summary>
    FailedPrecondition = 9,

    /// <summary>It did not come about; trying again may succeed. Never made by this library itself.</summary>
    Aborted = 10,

    /// <summary>Past the end of what there is. Never made by this library itself.</summary>
    OutOfRange = 11,

    /// <summary>There is no such method, or it is called in a way that it does not have.</summary>
    Unimplemented = 12,

    /// <summary>A defect: of the server, or of the bytes that a peer sent.</summary>
    Internal = 13,

    /// <summary>The server cannot be reached or stops; trying again later may succeed.</summary>
    Unavailable = 14,

    /// <summary>Data is damaged or lost. Never made by this library itself.</summary>
    DataLoss = 15,

    /// <summary>The caller is not known.</summary>
    Unauthenticated = 16,
}
