using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using XenTwoLevelCkpt.NativeInterop.Headers;
using XenTwoLevelCkpt.NativeInterop.Libc;

namespace XenTwoLevelCkpt.NativeInterop.Devices;

/// <summary>A request to device-mapper, encoded when it is made, so that making it again allocates nothing and cannot
/// fail for want of memory here.</summary>
/// <remarks>One thread uses a request at a time.</remarks>
public sealed class DmRequest
{
    /// <summary>Behind the head of a request. The kernel copies as much as a request says it has; 16 KiB hold the tables
    /// and replies of one device, and are asked again with more where they do not.</summary>
    [NotInC("Managed only.")]
    internal const int DefaultData = 16384;

    private static readonly int HeadSize = Unsafe.SizeOf<DmIoctl>();

    private readonly SafeHandle _control;
    private readonly uint _command;
    private readonly string _operation;
    private readonly byte[] _template;
    private readonly byte[] _buffer;

    private DmRequest(
        SafeHandle control, uint command, string operation, string name, string uuid, uint flags, byte[] data,
        int replySize)
    {
        _control = control;
        _command = command;
        _operation = operation;
        _template = new byte[HeadSize + data.Length];
        data.CopyTo(_template, HeadSize);
        _buffer = new byte[HeadSize + Math.Max(data.Length, replySize)];
        ref DmIoctl head = ref MemoryMarshal.AsRef<DmIoctl>(_template.AsSpan());
        head.version[0] = DmIoctlH.DM_VERSION_MAJOR;
        head.data_size = (uint)_buffer.Length;
        head.data_start = (uint)HeadSize;
        head.flags = flags;
        Put(name, head.name);
        Put(uuid, head.uuid);
    }

    /// <summary>The request's head, as it was sent or as the kernel answered it.</summary>
    internal ref DmIoctl Head => ref MemoryMarshal.AsRef<DmIoctl>(_buffer.AsSpan());

    /// <summary>The bytes that are sent.</summary>
    internal ReadOnlySpan<byte> Encoded => _template;

    /// <summary>What the kernel put behind the head.</summary>
    internal ReadOnlySpan<byte> Reply
    {
        get
        {
            int start = (int)Math.Min(Head.data_start, (uint)_buffer.Length);
            int end = (int)Math.Min(Head.data_size, (uint)_buffer.Length);
            return end > start ? _buffer.AsSpan(start, end - start) : [];
        }
    }

    /// <summary>The reply did not fit.</summary>
    internal bool IsReplyCut => (Head.flags & DmIoctlH.DM_BUFFER_FULL_FLAG) != 0;

    /// <summary>Makes the request.</summary>
    /// <exception cref="DeviceMapperException">The kernel refused it.</exception>
    public void Send()
    {
        if (TrySend() is not 0 and int errno)
        {
            throw new DeviceMapperException(_operation, errno);
        }
    }

    /// <summary>Makes the request. Returns 0 or errno.</summary>
    internal int TrySend()
    {
        _template.CopyTo(_buffer, 0);
        _buffer.AsSpan(_template.Length).Clear();
        int result;
        int errno;
        do
        {
            result = Ioctl.Call(_control, _command, _buffer);
            errno = result < 0 ? Marshal.GetLastPInvokeError() : 0;
        }
        while (errno == Errno.EINTR);
        return errno;
    }

    internal DeviceMapperException Failure(int errno) => new(_operation, errno);

    /// <summary>A request without data.</summary>
    internal static DmRequest Plain(
        SafeHandle control, uint command, string operation, string name, uint flags = 0, string uuid = "",
        int replySize = 0) => new(control, command, operation, name, uuid, flags, [], replySize);

    /// <summary>Loads a table. Each target is a <c>struct dm_target_spec</c>, its parameters with a zero, and padding to
    /// 8 bytes; <c>next</c> counts from the target's own start.</summary>
    internal static DmRequest LoadTable(
        SafeHandle control, string name, IReadOnlyList<DmTarget> targets, bool readOnly)
    {
        var data = new List<byte>();
        foreach (DmTarget target in targets)
        {
            byte[] parameters = Encoding.UTF8.GetBytes(target.Parameters);
            int specSize = Unsafe.SizeOf<DmTargetSpec>();
            byte[] encoded = new byte[(specSize + parameters.Length + 1 + 7) & ~7];
            parameters.CopyTo(encoded, specSize);
            ref DmTargetSpec spec = ref MemoryMarshal.AsRef<DmTargetSpec>(encoded.AsSpan());
            spec.sector_start = (ulong)target.Start;
            spec.length = (ulong)target.Length;
            spec.next = (uint)encoded.Length;
            Put(target.Type, spec.target_type);
            data.AddRange(encoded);
        }

        var request = new DmRequest(
            control, DmIoctlH.DM_TABLE_LOAD, $"load a table into device {name}", name, "",
            readOnly ? DmIoctlH.DM_READONLY_FLAG : 0, [.. data], 0);
        MemoryMarshal.AsRef<DmIoctl>(request._template.AsSpan()).target_count = (uint)targets.Count;
        return request;
    }

    /// <summary>Sends a text to the target at a sector.</summary>
    internal static DmRequest Message(SafeHandle control, string name, string text, long sector = 0)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        byte[] data = new byte[DmIoctlH.MessageOffset + bytes.Length + 1];
        MemoryMarshal.Write(data, sector);
        bytes.CopyTo(data, DmIoctlH.MessageOffset);
        return new DmRequest(
            control, DmIoctlH.DM_TARGET_MSG, $"send '{text}' to device {name}", name, "", 0, data, 0);
    }

    private static void Put(string text, Span<byte> field)
    {
        if (Encoding.UTF8.GetByteCount(text) >= field.Length || text.Contains('\0', StringComparison.Ordinal))
        {
            throw new ArgumentException(
                $"'{text}' is no name for device-mapper: at most {field.Length - 1} bytes, without a zero.",
                nameof(text));
        }

        _ = Encoding.UTF8.GetBytes(text, field);
    }
}
