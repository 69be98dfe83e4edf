using Microsoft.Win32.SafeHandles;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.NativeInterop.Devices;

namespace XenTwoLevelCkpt.Checkpointing.Disks.Thin;

/// <summary>A guest's disk on a volume of a thin pool. A sealed state is a snapshot; an increment is what thin_delta says
/// has changed since the snapshot before.</summary>
/// <remarks>
/// Of sealed snapshots only the newest is kept: it is what the next increment builds upon. A snapshot's thin id is in the
/// registry before the snapshot is made, so none is left behind by a process that ends.
/// A guest's requests that are under way when it is suspended may be in the snapshot or not: the guest has had
/// no answer to them, and its frontend sends them again when it is restored.
/// </remarks>
public sealed class ThinDisk : ICheckpointedDisk
{
    private readonly DiskRegistry _registry;
    private readonly string _volume;
    private readonly ThinPool _pool;
    private readonly DeviceMapper _mapper;
    private DmRequest? _suspend;
    private DmRequest? _snapshot;
    private DmRequest? _resume;
    private Guid _checkpoint;
    private int _thinId;
    private bool _sealed;
    private bool _suspended;

    /// <summary>Opens a disk.</summary>
    /// <param name="mapper">Device-mapper; stays the caller's.</param>
    /// <param name="registry">The host's record.</param>
    /// <param name="volume">The volume's name.</param>
    /// <param name="name">The disk's name in the guest, such as <c>xvda</c>.</param>
    /// <exception cref="DiskException">There is no such volume.</exception>
    public ThinDisk(DeviceMapper mapper, DiskRegistry registry, string volume, string name)
    {
        ArgumentNullException.ThrowIfNull(registry);
        _mapper = mapper;
        _registry = registry;
        _volume = volume;
        Name = name;
        VolumeRecord record = registry.Read().Volume(volume);
        _pool = new ThinPool(mapper, registry, record.Pool);
        Info = new DiskInfo(name, record.Length);
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public ImageContent Content => ImageContent.BlockDevice;

    /// <inheritdoc/>
    public DiskInfo Info { get; private set; }

    /// <inheritdoc/>
    public int BlockSize => VolumeData.UnitSize;

    private VolumeRecord Record => _registry.Read().Volume(_volume);

    /// <inheritdoc/>
    /// <exception cref="DiskException">The pool has no room, or the volume is not active.</exception>
    /// <exception cref="IOException">The record cannot be written.</exception>
    public void Prepare(Guid checkpoint)
    {
        _checkpoint = checkpoint;
        _sealed = false;
        _pool.RequireRoom();
        _pool.Purge();
        DiskState state = _registry.Update(s =>
        {
            VolumeRecord volume = s.Volume(_volume);
            if (volume.Pending is { } left)
            {
                s = s.Discarding(volume.Pool, left);
            }

            int id = s.NextThinId(volume.Pool);
            return s.With(s.Pool(volume.Pool) with { LastThinId = id }).With(volume with { Pending = id });
        });
        VolumeRecord record = state.Volume(_volume);
        _thinId = record.Pending!.Value;
        Info = new DiskInfo(Name, record.Length);
        _suspend = _mapper.PrepareSuspend(record.Device);
        _snapshot = _pool.PrepareSnapshot(_thinId, record.ThinId);
        _resume = _mapper.PrepareResume(record.Device);
    }

    /// <inheritdoc/>
    /// <remarks>Three requests to the kernel, which were encoded before. The second one commits the pool's metadata, which
    /// waits for its device; dm-thin has no other way.</remarks>
    public void Seal()
    {
        if (_suspend is null)
        {
            throw new InvalidOperationException("The disk was not prepared.");
        }

        _suspended = true;
        try
        {
            _suspend.Send();
            _snapshot!.Send();
            _sealed = true;
        }
        finally
        {
            _resume!.Send();
            _suspended = false;
        }
    }

    /// <inheritdoc/>
    /// <exception cref="DiskException">The changes could not be found out.</exception>
    public void Write(ImageWriter writer, Guid since)
    {
        ArgumentNullException.ThrowIfNull(writer);
        VolumeRecord record = Record;
        if (!_sealed)
        {
            throw new InvalidOperationException("The disk was not sealed.");
        }

        if (since != Guid.Empty && record.Sealed?.Checkpoint != since)
        {
            throw new InvalidOperationException($"The state of checkpoint {since} is not there any more.");
        }

        string node = _pool.Activate(record.SnapshotDevice, _thinId, record.Length, readOnly: true);
        try
        {
            using SafeFileHandle device = VolumeData.OpenToRead(node);
            if (since == Guid.Empty)
            {
                WriteAll(writer, device, record);
            }
            else
            {
                WriteChanges(writer, device, record);
            }
        }
        finally
        {
            _pool.Deactivate(record.SnapshotDevice, whenClosed: true);
        }
    }

    /// <inheritdoc/>
    public bool CanBuildUpon(Guid checkpoint) => Record.Sealed?.Checkpoint == checkpoint;

    /// <inheritdoc/>
    public void Keep()
    {
        try
        {
            _ = _registry.Update(s =>
            {
                VolumeRecord volume = s.Volume(_volume);
                if (volume.Sealed is { } old)
                {
                    s = s.Discarding(volume.Pool, old.ThinId);
                }

                return s.With(volume with { Sealed = new SealedRecord(_checkpoint, _thinId), Pending = null });
            });
            _pool.Purge();
        }
        catch (Exception e) when (e is IOException or DiskException)
        {
            // The checkpoint is in the store. Where the record does not know of its snapshot, the next image is full.
        }

        _sealed = false;
    }

    /// <inheritdoc/>
    public void Abandon()
    {
        _sealed = false;
        try
        {
            if (_suspended)
            {
                // The resumption failed in the window. A guest whose disk hangs is worse than one more attempt.
                _resume!.Send();
                _suspended = false;
            }

            _ = _registry.Update(s =>
            {
                VolumeRecord volume = s.Volume(_volume);
                return volume.Pending is { } pending
                    ? s.Discarding(volume.Pool, pending).With(volume with { Pending = null })
                    : s;
            });
            _pool.Purge();
        }
        catch (Exception e) when (e is IOException or DiskException)
        {
            // What is pending is deleted when the next checkpoint is prepared.
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        // Volumes outlive their guests, and device-mapper is the caller's.
    }

    // What has no blocks is zeros, and is not read: volumes are longer than what they hold.
    private void WriteAll(ImageWriter writer, SafeFileHandle device, VolumeRecord record)
    {
        long blockSize = _registry.Read().Pool(record.Pool).BlockSize, done = 0;
        foreach (ThinRange range in _pool.Mapped(_thinId))
        {
            (long Start, long End) bytes = (range.Begin * blockSize, (range.Begin + range.Length) * blockSize);
            VolumeData.AddZeros(writer, record.Length, (done, bytes.Start));
            VolumeData.Add(writer, device, record.Length, bytes, null);
            done = bytes.End;
        }

        VolumeData.AddZeros(writer, record.Length, (done, record.Length));
    }

    private void WriteChanges(ImageWriter writer, SafeFileHandle device, VolumeRecord record)
    {
        int older = record.Sealed!.ThinId;
        IReadOnlyList<ThinRange> ranges = _pool.Delta(older, _thinId);
        long blockSize = _registry.Read().Pool(record.Pool).BlockSize;
        string node = _pool.Activate(record.BaseDevice, older, record.Length, readOnly: true);
        try
        {
            using SafeFileHandle before = VolumeData.OpenToRead(node);
            foreach (ThinRange range in ranges)
            {
                (long Start, long End) bytes = (range.Begin * blockSize, (range.Begin + range.Length) * blockSize);
                if (range.Change == ThinChange.Removed)
                {
                    VolumeData.AddZeros(writer, record.Length, bytes);
                }
                else
                {
                    VolumeData.Add(
                        writer, device, record.Length, bytes, range.Change == ThinChange.Replaced ? before : null);
                }
            }
        }
        finally
        {
            _pool.Deactivate(record.BaseDevice, whenClosed: true);
        }
    }
}
