using XenTwoLevelCkpt.NativeInterop.Network;

namespace XenTwoLevelCkpt.Channels;

/// <summary>The uplink of real guests: a tap that is a port of their bridge. Frames carry their virtio_net_hdr, so segments
/// of 64 KiB cross whole. What is on its way between the tap and a guest is no part of a checkpoint: a frame that is lost
/// there is lost as on any Ethernet.</summary>
public sealed class TapUplink : IUplink
{
    /// <summary>Frames that wait in the kernel while they are not read: for a checkpoint's end, or as a peer's window is full.
    /// With segments of 64 KiB they are 256 MiB at most; a guest's TCP has long stopped by then.</summary>
    public const int DefaultQueueLength = 4096;

    private readonly TapDevice _tap;
    private long _dropped;

    private TapUplink(TapDevice tap) => _tap = tap;

    /// <inheritdoc/>
    public int HeaderSize => TapDevice.HeaderSize;

    /// <summary>True: guests' transports send again what is lost.</summary>
    public bool MayLose => true;

    /// <summary>The interface's name.</summary>
    public string Name => _tap.Name;

    /// <inheritdoc/>
    public long Dropped => Interlocked.Read(ref _dropped);

    /// <summary>Makes the tap, puts it into a bridge, and sets it up.</summary>
    /// <param name="name">The interface's name, at most 15 octets of ASCII.</param>
    /// <param name="bridge">The guests' bridge; null for none.</param>
    /// <param name="queueLength">Frames that wait in the kernel.</param>
    /// <exception cref="IOException">It cannot be made, or there is no such bridge.</exception>
    public static TapUplink Open(string name, string? bridge, int queueLength = DefaultQueueLength)
    {
        TapDevice tap = TapDevice.Create(name, queueLength);
        try
        {
            if (bridge is not null)
            {
                tap.JoinBridge(bridge);
            }

            tap.SetUp();
            return new TapUplink(tap);
        }
        catch
        {
            tap.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public bool Wait(TimeSpan timeout) => _tap.WaitToRead(timeout);

    /// <inheritdoc/>
    public void Wake() => _tap.Wake();

    /// <inheritdoc/>
    public int Read(Span<byte> frame) => _tap.Read(frame);

    /// <inheritdoc/>
    public void Write(ReadOnlySpan<byte> frame, Audience? audience = null)
    {
        if (!_tap.Write(frame))
        {
            _ = Interlocked.Increment(ref _dropped);
        }
    }

    /// <inheritdoc/>
    public byte[] Save() => [];

    /// <inheritdoc/>
    public void Restore(ReadOnlySpan<byte> saved)
    {
        if (!saved.IsEmpty)
        {
            throw new InvalidDataException("The checkpoint has messages of a model's guests, and these are real ones.");
        }

        // What the domains sent in the past that is undone.
        byte[] frame = new byte[FrameBatch.MaxFrame];
        while (_tap.Read(frame) > 0)
        {
        }
    }

    /// <inheritdoc/>
    public void Admit(IReadOnlyCollection<Guid> guests, ReadOnlySpan<byte> saved)
    {
        if (!saved.IsEmpty)
        {
            throw new InvalidDataException("The lost node's checkpoint has messages of a model's guests, and these are real ones.");
        }

        // The bridge learns of them when they begin to speak.
    }

    /// <inheritdoc/>
    public void Join(IReadOnlyCollection<Guid> guests)
    {
        // They reach each other over the bridge.
    }

    /// <inheritdoc/>
    public void Dispose() => _tap.Dispose();
}
