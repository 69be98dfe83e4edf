using System.Buffers.Binary;
using System.Text;
using Microsoft.Win32.SafeHandles;
using XenTwoLevelCkpt.NativeInterop.Devices;
using XenTwoLevelCkpt.NativeInterop.Headers;
using Xunit;

namespace XenTwoLevelCkpt.NativeInterop.Tests.Devices;

/// <summary>Requests, byte by byte as linux/dm-ioctl.h has them.</summary>
public sealed class DmRequestTests : IDisposable
{
    private const int Head = 312;

    // Not a device: a request to it fails with ENOTTY.
    private readonly SafeFileHandle _noDevice = File.OpenHandle("/dev/null", access: FileAccess.ReadWrite);

    public void Dispose() => _noDevice.Dispose();

    [Fact]
    public void A_suspension_flushes_nothing_and_freezes_no_file_system()
    {
        DmRequest request = DmRequest.Plain(
            _noDevice, DmIoctlH.DM_DEV_SUSPEND, "suspend device d", "d",
            DmIoctlH.DM_SUSPEND_FLAG | DmIoctlH.DM_SKIP_LOCKFS_FLAG | DmIoctlH.DM_NOFLUSH_FLAG);
        ReadOnlySpan<byte> bytes = request.Encoded;
        Assert.Equal(Head, bytes.Length);
        Assert.Equal(4u, BinaryPrimitives.ReadUInt32LittleEndian(bytes));
        Assert.Equal((uint)Head, BinaryPrimitives.ReadUInt32LittleEndian(bytes[12..]));
        Assert.Equal((uint)Head, BinaryPrimitives.ReadUInt32LittleEndian(bytes[16..]));
        Assert.Equal(0xC02u, BinaryPrimitives.ReadUInt32LittleEndian(bytes[28..]));
        Assert.Equal((byte)'d', bytes[48]);
        Assert.Equal(0, bytes[49]);
    }

    [Fact]
    public void A_message_is_a_sector_a_text_and_a_zero()
    {
        DmRequest request = DmRequest.Message(_noDevice, "pool", "create_snap 7 3");
        ReadOnlySpan<byte> data = request.Encoded[Head..];
        Assert.Equal(0L, BinaryPrimitives.ReadInt64LittleEndian(data));
        Assert.Equal("create_snap 7 3\0", Encoding.UTF8.GetString(data[8..]));
        Assert.Equal((uint)request.Encoded.Length, BinaryPrimitives.ReadUInt32LittleEndian(request.Encoded[12..]));
    }

    [Fact]
    public void A_table_counts_its_targets_and_names_the_next_ones_place()
    {
        DmRequest request = DmRequest.LoadTable(
            _noDevice, "d",
            [new DmTarget(0, 8, "thin", "/dev/mapper/p 7"), new DmTarget(8, 16, "zero", "")], readOnly: true);
        ReadOnlySpan<byte> bytes = request.Encoded;
        Assert.Equal(2u, BinaryPrimitives.ReadUInt32LittleEndian(bytes[20..]));
        Assert.Equal(1u, BinaryPrimitives.ReadUInt32LittleEndian(bytes[28..]));
        ReadOnlySpan<byte> first = bytes[Head..];
        Assert.Equal(0L, BinaryPrimitives.ReadInt64LittleEndian(first));
        Assert.Equal(8L, BinaryPrimitives.ReadInt64LittleEndian(first[8..]));
        Assert.Equal("thin\0", Encoding.UTF8.GetString(first[24..29]));
        Assert.Equal("/dev/mapper/p 7\0", Encoding.UTF8.GetString(first[40..56]));

        // 40 bytes of spec, 16 of parameters: 56 is a multiple of 8 already.
        Assert.Equal(56u, BinaryPrimitives.ReadUInt32LittleEndian(first[20..]));
        ReadOnlySpan<byte> second = first[56..];
        Assert.Equal(8L, BinaryPrimitives.ReadInt64LittleEndian(second));
        Assert.Equal("zero\0", Encoding.UTF8.GetString(second[24..29]));
        Assert.Equal(48, second.Length);
    }

    [Fact]
    public void A_reply_counts_places_from_its_start()
    {
        byte[] reply = new byte[112];
        BinaryPrimitives.WriteInt64LittleEndian(reply.AsSpan(8), 8);
        BinaryPrimitives.WriteUInt32LittleEndian(reply.AsSpan(20), 56);
        "thin"u8.CopyTo(reply.AsSpan(24));
        "16 127"u8.CopyTo(reply.AsSpan(40));
        BinaryPrimitives.WriteInt64LittleEndian(reply.AsSpan(56), 8);
        BinaryPrimitives.WriteInt64LittleEndian(reply.AsSpan(64), 16);
        BinaryPrimitives.WriteUInt32LittleEndian(reply.AsSpan(76), 112);
        "zero"u8.CopyTo(reply.AsSpan(80));
        Assert.Equal(
            [new DmTarget(0, 8, "thin", "16 127"), new DmTarget(8, 16, "zero", "")],
            DeviceMapper.DecodeTargets(reply, 2));
        Assert.Single(DeviceMapper.DecodeTargets(reply.AsSpan(0, 60), 2));
    }

    [Theory]
    [InlineData(0x0000FD03, 3)]
    [InlineData(0x0010FD03, 259)]
    public void A_minor_number_has_two_parts(ulong dev, int minor) => Assert.Equal(minor, DeviceMapper.MinorOf(dev));

    [Fact]
    public void A_name_that_does_not_fit_is_refused() => Assert.Throws<ArgumentException>(
        () => DmRequest.Plain(_noDevice, DmIoctlH.DM_DEV_STATUS, "look", new string('x', 128)));

    [Fact]
    public void A_refusal_names_the_operation_and_the_reason()
    {
        DmRequest request = DmRequest.Message(_noDevice, "pool", "delete 7");
        DeviceMapperException e = Assert.Throws<DeviceMapperException>(request.Send);
        Assert.Contains("send 'delete 7' to device pool", e.Message, StringComparison.Ordinal);
        Assert.NotEqual(0, e.Errno);
    }

    [Fact]
    public void Sending_again_allocates_nothing()
    {
        DmRequest request = DmRequest.Message(_noDevice, "pool", "create_snap 7 3");
        _ = request.TrySend();

        // More than once: the runtime itself may allocate when it replaces code that runs often. Sending would each time.
        long least = long.MaxValue;
        for (int round = 0; round < 5; round++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < 100; i++)
            {
                _ = request.TrySend();
            }

            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        Assert.Equal(0, least);
    }
}
