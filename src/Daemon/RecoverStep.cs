namespace XenTwoLevelCkpt.Daemon;

/// <summary>Points inside a recovery at which tests make it fail.</summary>
internal enum RecoverStep
{
    /// <summary>It is known what is to be done; nothing has changed.</summary>
    Decided = 1,

    /// <summary>What is to be done is on disk.</summary>
    PendingWritten = 2,

    /// <summary>No message moves.</summary>
    Quiesced = 3,

    /// <summary>The domains are gone.</summary>
    Destroyed = 4,

    /// <summary>The domains are back, paused.</summary>
    Restored = 5,

    /// <summary>The messages are in the new incarnation.</summary>
    RolledBack = 6,

    /// <summary>That it has begun is on disk.</summary>
    EndWritten = 7,

    /// <summary>Checkpoints of the past that is gone are removed.</summary>
    Discarded = 8,

    /// <summary>The domains run.</summary>
    Running = 9,

    /// <summary>The checkpoint that raises the index is taken.</summary>
    Raised = 10,
}
