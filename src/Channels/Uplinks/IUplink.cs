namespace XenTwoLevelCkpt.Channels;

/// <summary>
/// Where the guests of this node meet the channels: frames of local guests for others come out, frames of remote guests go
/// in. Nothing that came out may be lost: what is not read yet stays in the uplink.
/// </summary>
/// <remarks>One thread reads at a time, one writes; the two may be at it at once. <see cref="Wake"/> is for any.</remarks>
public interface IUplink : IDisposable
{
    /// <summary>Bytes of the virtio_net_hdr before each frame; 0 where frames are bare. The length of a frame counts them.
    /// </summary>
    int HeaderSize { get; }

    /// <summary>True where a frame may be lost as on any Ethernet: those for a node that takes none are dropped in the end, rather than
    /// that the frames for all others wait for it.</summary>
    bool MayLose { get; }

    /// <summary>Frames that were written and that nobody took, since the start: they were longer than the bridge's MTU, or its port is
    /// down.</summary>
    long Dropped { get; }

    /// <summary>Waits until a frame can be read.</summary>
    /// <param name="timeout">How long at most.</param>
    /// <returns>False where there is none: the time is over, or <see cref="Wake"/> was called.</returns>
    bool Wait(TimeSpan timeout);

    /// <summary>Ends the present <see cref="Wait"/>, or the next one.</summary>
    void Wake();

    /// <summary>Takes the oldest frame of a local guest; does not wait.</summary>
    /// <param name="frame">Receives the frame; <see cref="FrameBatch.MaxFrame"/> bytes.</param>
    /// <returns>The frame's bytes; 0 where there is none.</returns>
    /// <exception cref="IOException">The uplink is broken.</exception>
    int Read(Span<byte> frame);

    /// <summary>Gives a frame to the local guests; returns when they have it, or when nothing more can be done for it, as
    /// for a bridge whose port is down.</summary>
    /// <param name="frame">The frame, with its header.</param>
    /// <param name="audience">The guests that it may be for; null for all. A bridge cannot be told, and has it for all.</param>
    /// <exception cref="IOException">The uplink is broken.</exception>
    void Write(ReadOnlySpan<byte> frame, Audience? audience = null);

    /// <summary>What is on its way to local guests and belongs to a checkpoint, with all domains suspended; empty where
    /// such frames may be lost, as on any Ethernet.</summary>
    byte[] Save();

    /// <summary>Takes everything back that came out or went in, and puts in what <see cref="Save"/> gave: the domains have
    /// gone back to a checkpoint, and do not run.</summary>
    /// <param name="saved">What <see cref="Save"/> gave; empty for the initial state.</param>
    /// <exception cref="InvalidDataException">It gave something else.</exception>
    void Restore(ReadOnlySpan<byte> saved);

    /// <summary>Guests of a lost node come here, and do not run yet: puts in what <see cref="Save"/> gave there, and takes frames for
    /// them. What local guests send them is read, as before.</summary>
    /// <param name="guests">Their UUIDs.</param>
    /// <param name="saved">What <see cref="Save"/> gave with their checkpoint; empty for the initial state.</param>
    /// <exception cref="InvalidDataException">It gave something else.</exception>
    void Admit(IReadOnlyCollection<Guid> guests, ReadOnlySpan<byte> saved);

    /// <summary>The guests have all that came before: what local guests send them is theirs without being read, and so is what waits
    /// to be read.</summary>
    /// <param name="guests">As for <see cref="Admit"/>, or of an earlier time.</param>
    void Join(IReadOnlyCollection<Guid> guests);
}
