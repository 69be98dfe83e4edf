using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Devices;

/// <summary>The kernel's device-mapper, through <c>/dev/mapper/control</c>.</summary>
/// <remarks>Thread-safe: the kernel serialises requests for one device. Requires CAP_SYS_ADMIN. All lengths of tables are
/// in sectors of 512 bytes.</remarks>
public sealed class DeviceMapper : IDisposable
{
    private const string ControlNode = "/dev/mapper/control";

    private readonly SafeFileHandle _control;

    private DeviceMapper(SafeFileHandle control) => _control = control;

    /// <summary>Opens device-mapper; the kernel loads it where it is a module.</summary>
    /// <exception cref="IOException">There is none, or the caller is not root.</exception>
    public static DeviceMapper Open()
    {
        try
        {
            // FileShare.ReadWrite: .NET would lock the node against others otherwise.
            var mapper = new DeviceMapper(
                File.OpenHandle(ControlNode, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite));
            try
            {
                DmRequest.Plain(mapper._control, DmIoctlH.DM_VERSION, "talk to device-mapper", "").Send();
                return mapper;
            }
            catch
            {
                mapper.Dispose();
                throw;
            }
        }
        catch (UnauthorizedAccessException e)
        {
            throw new IOException($"Could not open {ControlNode}: permission denied. Run as root.", e);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new IOException(
                $"There is no {ControlNode}: this kernel has no device-mapper, or its module is not loaded "
                + "('modprobe dm-mod').", e);
        }
    }

    /// <summary>Makes a device without a table.</summary>
    /// <param name="name">Its name, at most 127 bytes.</param>
    /// <param name="uuid">A text that identifies it; empty for none.</param>
    /// <exception cref="DeviceMapperException">EBUSY where the name or the UUID is taken.</exception>
    public DmDeviceInfo Create(string name, string uuid = "")
    {
        DmRequest request = DmRequest.Plain(
            _control, DmIoctlH.DM_DEV_CREATE, $"create device {name}", name, uuid: uuid);
        request.Send();
        return Info(request.Head);
    }

    /// <summary>Loads a table, which becomes the live one when the device is resumed.</summary>
    /// <param name="name">The device.</param>
    /// <param name="targets">The table.</param>
    /// <param name="readOnly">Refuses writes.</param>
    /// <exception cref="DeviceMapperException">A target refused its parameters, or there is no such device.</exception>
    public void LoadTable(string name, IReadOnlyList<DmTarget> targets, bool readOnly = false)
    {
        ArgumentNullException.ThrowIfNull(targets);
        DmRequest.LoadTable(_control, name, targets, readOnly).Send();
    }

    /// <summary>A request that holds back all that is written to or read from a device, and returns when nothing is under
    /// way any more.</summary>
    /// <param name="name">The device.</param>
    /// <remarks>Nothing is flushed (DM_NOFLUSH_FLAG) and no file system is frozen (DM_SKIP_LOCKFS_FLAG): what is queued
    /// waits for the resumption, also where the pool has no space left and a flush would never end.</remarks>
    public DmRequest PrepareSuspend(string name) => DmRequest.Plain(
        _control, DmIoctlH.DM_DEV_SUSPEND, $"suspend device {name}", name,
        DmIoctlH.DM_SUSPEND_FLAG | DmIoctlH.DM_SKIP_LOCKFS_FLAG | DmIoctlH.DM_NOFLUSH_FLAG);

    /// <summary>A request that lets a device go on; a table that was loaded becomes the live one.</summary>
    /// <param name="name">The device.</param>
    public DmRequest PrepareResume(string name) =>
        DmRequest.Plain(_control, DmIoctlH.DM_DEV_SUSPEND, $"resume device {name}", name);

    /// <summary>A request that sends a text to a device's first target.</summary>
    /// <param name="name">The device.</param>
    /// <param name="text">The text; of a thin pool <c>create_snap 7 3</c>, for instance.</param>
    public DmRequest PrepareMessage(string name, string text) => DmRequest.Message(_control, name, text);

    /// <summary>Suspends a device, as <see cref="PrepareSuspend"/> says.</summary>
    /// <param name="name">The device.</param>
    public void Suspend(string name) => PrepareSuspend(name).Send();

    /// <summary>Resumes a device.</summary>
    /// <param name="name">The device.</param>
    public void Resume(string name) => PrepareResume(name).Send();

    /// <summary>Sends a text to a device's first target.</summary>
    /// <param name="name">The device.</param>
    /// <param name="text">The text.</param>
    /// <exception cref="DeviceMapperException">The target refused it; of a thin pool EEXIST and ENODATA tell of thin ids.
    /// </exception>
    public void Message(string name, string text) => PrepareMessage(name, text).Send();

    /// <summary>Tells about a device.</summary>
    /// <param name="name">The device.</param>
    /// <returns>Null where there is none of this name.</returns>
    public DmDeviceInfo? Find(string name)
    {
        DmRequest request = DmRequest.Plain(_control, DmIoctlH.DM_DEV_STATUS, $"look at device {name}", name);
        int errno = request.TrySend();
        return errno switch
        {
            0 => Info(request.Head),
            Libc.Errno.ENXIO => null,
            _ => throw request.Failure(errno),
        };
    }

    /// <summary>Reads a device's live table.</summary>
    /// <param name="name">The device.</param>
    public IReadOnlyList<DmTarget> Table(string name) => Targets(name, DmIoctlH.DM_STATUS_TABLE_FLAG, "table");

    /// <summary>Reads what a device's targets say of themselves, without making a thin pool commit first.</summary>
    /// <param name="name">The device.</param>
    public IReadOnlyList<DmTarget> Status(string name) => Targets(name, DmIoctlH.DM_NOFLUSH_FLAG, "status");

    /// <summary>Removes a device.</summary>
    /// <param name="name">The device.</param>
    /// <param name="whenClosed">Where it is open, it goes when the last one closes it.</param>
    /// <exception cref="DeviceMapperException">EBUSY where it is open, ENXIO where there is none.</exception>
    public void Remove(string name, bool whenClosed = false) => DmRequest.Plain(
        _control, DmIoctlH.DM_DEV_REMOVE, $"remove device {name}", name,
        whenClosed ? DmIoctlH.DM_DEFERRED_REMOVE : 0).Send();

    /// <summary>Lists the names of all devices.</summary>
    public IReadOnlyList<string> List()
    {
        var names = new List<string>();
        DmRequest request = Ask(DmIoctlH.DM_LIST_DEVICES, "list devices", "", 0);
        ReadOnlySpan<byte> reply = request.Reply;
        while (reply.Length > DmIoctlH.NameListName && MemoryMarshal.Read<ulong>(reply) != 0)
        {
            names.Add(Text(reply[DmIoctlH.NameListName..]));
            uint next = MemoryMarshal.Read<uint>(reply[DmIoctlH.NameListNext..]);
            if (next == 0 || next > (uint)reply.Length)
            {
                break;
            }

            reply = reply[(int)next..];
        }

        return names;
    }

    /// <inheritdoc/>
    public void Dispose() => _control.Dispose();

    /// <summary>Decodes a reply of <c>struct dm_target_spec</c>, where <c>next</c> counts from the first one.</summary>
    internal static IReadOnlyList<DmTarget> DecodeTargets(ReadOnlySpan<byte> reply, uint count)
    {
        var targets = new List<DmTarget>();
        int specSize = Unsafe.SizeOf<DmTargetSpec>();
        uint at = 0;
        for (uint i = 0; i < count && at + specSize <= (uint)reply.Length; i++)
        {
            DmTargetSpec spec = MemoryMarshal.Read<DmTargetSpec>(reply[(int)at..]);
            targets.Add(new DmTarget(
                (long)spec.sector_start, (long)spec.length, Text(spec.target_type),
                Text(reply[((int)at + specSize)..])));
            if (spec.next <= at)
            {
                break;
            }

            at = spec.next;
        }

        return targets;
    }

    // dev is a dev_t as new_encode_dev makes it: minor bits 0-7 and 20-31, major bits 8-19.
    internal static int MinorOf(ulong dev) => (int)((dev & 0xff) | ((dev >> 12) & 0xfff00));

    internal static int MajorOf(ulong dev) => (int)((dev >> 8) & 0xfff);

    private static DmDeviceInfo Info(in DmIoctl head) => new(
        MajorOf(head.dev), MinorOf(head.dev), head.open_count, (head.flags & DmIoctlH.DM_SUSPEND_FLAG) != 0,
        (head.flags & DmIoctlH.DM_ACTIVE_PRESENT_FLAG) != 0);

    private static string Text(ReadOnlySpan<byte> bytes)
    {
        int end = bytes.IndexOf((byte)0);
        return Encoding.UTF8.GetString(end < 0 ? bytes : bytes[..end]);
    }

    private IReadOnlyList<DmTarget> Targets(string name, uint flags, string what)
    {
        DmRequest request = Ask(DmIoctlH.DM_TABLE_STATUS, $"read the {what} of device {name}", name, flags);
        return DecodeTargets(request.Reply, request.Head.target_count);
    }

    // Asks again with more room until the reply is whole.
    private DmRequest Ask(uint command, string operation, string name, uint flags)
    {
        for (int size = DmRequest.DefaultData; ; size *= 2)
        {
            DmRequest request = DmRequest.Plain(_control, command, operation, name, flags, replySize: size);
            request.Send();
            if (!request.IsReplyCut)
            {
                return request;
            }
        }
    }
}
