using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;
using Tmds.Linux;
using XenTwoLevelCkpt.NativeInterop.Files;
using XenTwoLevelCkpt.NativeInterop.Headers;
using XenTwoLevelCkpt.NativeInterop.Libc;

namespace XenTwoLevelCkpt.NativeInterop.Network;

/// <summary>
/// A tap: a network interface whose cable ends in this process. Each frame has a virtio_net_hdr before it, so checksums
/// that were not computed and segments that were not cut pass as they are, to a tap that takes them so. The interface is
/// gone when this is disposed.
/// </summary>
/// <remarks>One thread may read while another one writes. Neither allocates. Not to be disposed while they are at it.
/// </remarks>
public sealed class TapDevice : IDisposable
{
    private const string ControlPath = "/dev/net/tun";

    private readonly SafeFileHandle _tap;
    private readonly SafeFileHandle _wake;

    private TapDevice(string name, SafeFileHandle tap, SafeFileHandle wake)
    {
        Name = name;
        _tap = tap;
        _wake = wake;
    }

    /// <summary>Bytes of the virtio_net_hdr before each frame.</summary>
    public static int HeaderSize => LinuxVirtioNet.HeaderLength;

    /// <summary>The interface's name.</summary>
    public string Name { get; }

    /// <summary>Makes a tap in the network namespace of the calling thread. It is down.</summary>
    /// <param name="name">The interface's name, at most 15 octets of ASCII.</param>
    /// <param name="queueLength">Frames that the kernel keeps until they are read; beyond them it drops.</param>
    /// <exception cref="IOException">It cannot be made: no permission (CAP_NET_ADMIN), no tun driver, or the name is taken.
    /// </exception>
    public static TapDevice Create(string name, int queueLength)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(queueLength);
        byte[] request = Request(name);
        var tap = new SafeFileHandle(OpenControl(), ownsHandle: true);
        SafeFileHandle? wake = null;
        try
        {
            Set(request, NetIf.FlagsOffset, LinuxIfTun.IFF_TAP | LinuxIfTun.IFF_NO_PI | LinuxIfTun.IFF_VNET_HDR);
            Check(Ioctl.Call(tap, LinuxIfTun.TUNSETIFF, request), $"make the tap {name}");
            byte[] header = new byte[sizeof(int)];
            BinaryPrimitives.WriteInt32LittleEndian(header, HeaderSize);
            Check(Ioctl.Call(tap, LinuxIfTun.TUNSETVNETHDRSZ, header), $"set the header of the tap {name}");
            Check(
                Ioctl.Call(
                    tap, LinuxIfTun.TUNSETOFFLOAD,
                    (nint)(LinuxIfTun.TUN_F_CSUM | LinuxIfTun.TUN_F_TSO4 | LinuxIfTun.TUN_F_TSO6)),
                $"set the offloads of the tap {name}");
            Ask((uint)LibC.SIOCSIFTXQLEN, Request(name), NetIf.QueueLengthOffset, queueLength, $"set the queue of {name}");
            int eventFd = EventDescriptor.Make();
            Check(eventFd, "make an event descriptor");
            wake = new SafeFileHandle(eventFd, ownsHandle: true);
            return new TapDevice(name, tap, wake);
        }
        catch
        {
            wake?.Dispose();
            tap.Dispose();
            throw;
        }
    }

    /// <summary>Puts the interface into a bridge, with the bridge's MTU: with a smaller one, longer frames of guests would be dropped
    /// at the port, and a bridge without an MTU of its own takes over the smallest of its ports.</summary>
    /// <param name="bridge">The bridge's name.</param>
    /// <exception cref="IOException">There is no such bridge, or it is full.</exception>
    public void JoinBridge(string bridge)
    {
        byte[] request = Request(bridge);
        Ask((uint)LibC.SIOCGIFMTU, request, $"read the MTU of the bridge {bridge}");
        int mtu = BinaryPrimitives.ReadInt32LittleEndian(request.AsSpan(NetIf.MtuOffset));
        Ask((uint)LibC.SIOCSIFMTU, Request(Name), NetIf.MtuOffset, mtu, $"give {Name} the bridge's MTU of {mtu}");
        request = Request(Name);
        Ask((uint)LibC.SIOCGIFINDEX, request, $"find the index of {Name}");
        int index = BinaryPrimitives.ReadInt32LittleEndian(request.AsSpan(NetIf.IndexOffset));
        Ask(LinuxSockios.SIOCBRADDIF, Request(bridge), NetIf.IndexOffset, index, $"put {Name} into the bridge {bridge}");
    }

    /// <summary>Sets the interface up: frames pass from now on.</summary>
    /// <exception cref="IOException">It cannot be set up.</exception>
    public void SetUp()
    {
        byte[] request = Request(Name);
        Ask((uint)LibC.SIOCGIFFLAGS, request, $"read the flags of {Name}");
        request[NetIf.FlagsOffset] |= (byte)NetIf.IFF_UP;
        Ask((uint)LibC.SIOCSIFFLAGS, request, $"set {Name} up");
    }

    /// <summary>Waits until there is a frame to read.</summary>
    /// <param name="timeout">How long at most.</param>
    /// <returns>False where there is none: the time is over, or <see cref="Wake"/> was called.</returns>
    public bool WaitToRead(TimeSpan timeout)
    {
        Span<PollFd> fds =
        [
            new PollFd { fd = Descriptor(_tap), events = Poll.POLLIN },
            new PollFd { fd = Descriptor(_wake), events = Poll.POLLIN },
        ];
        int milliseconds = (int)Math.Clamp(Math.Ceiling(timeout.TotalMilliseconds), 0, int.MaxValue);
        if (Poll.poll(ref MemoryMarshal.GetReference(fds), (nuint)fds.Length, milliseconds) <= 0)
        {
            // The time is over, or a signal came: the caller asks again.
            return false;
        }

        if (fds[1].revents != 0)
        {
            EventDescriptor.Clear(Descriptor(_wake));
        }

        return fds[0].revents != 0;
    }

    /// <summary>Ends the present <see cref="WaitToRead"/>, or the next one.</summary>
    public void Wake() => _ = EventDescriptor.Set(Descriptor(_wake));

    /// <summary>Takes a frame that the kernel sent to the interface; does not wait.</summary>
    /// <param name="frame">Receives header and frame. What is longer is cut, so it has to have room for the longest.</param>
    /// <returns>Bytes; 0 where there is no frame.</returns>
    /// <exception cref="IOException">The interface is gone.</exception>
    public int Read(Span<byte> frame)
    {
        while (true)
        {
            long length;

            // unsafe: the call takes a pointer. Safe: the frame is pinned for it, and as long as it says.
            unsafe
            {
                fixed (byte* octets = frame)
                {
                    length = LibC.read(Descriptor(_tap), octets, frame.Length);
                }
            }

            if (length >= 0)
            {
                return (int)length;
            }

            int errno = Marshal.GetLastPInvokeError();
            if (errno == Errno.EAGAIN)
            {
                return 0;
            }

            if (errno != Errno.EINTR)
            {
                throw Failed($"read from {Name}");
            }
        }
    }

    /// <summary>Gives a frame to the kernel as if it had come from the cable; waits while the kernel has no room.</summary>
    /// <param name="frame">Header and frame.</param>
    /// <returns>False where the kernel does not take it: its header contradicts it, the interface is down, or memory is
    /// short.</returns>
    /// <exception cref="IOException">The interface is gone.</exception>
    public bool Write(ReadOnlySpan<byte> frame)
    {
        while (true)
        {
            long length;

            // unsafe, safe: as in Read.
            unsafe
            {
                fixed (byte* octets = frame)
                {
                    length = LibC.write(Descriptor(_tap), octets, frame.Length);
                }
            }

            if (length == frame.Length)
            {
                return true;
            }

            switch (length < 0 ? Marshal.GetLastPInvokeError() : Errno.EINVAL)
            {
                case Errno.EINTR:
                    break;
                case Errno.EAGAIN:
                    var writable = new PollFd { fd = Descriptor(_tap), events = Poll.POLLOUT };
                    _ = Poll.poll(ref writable, 1, -1);
                    break;
                case Errno.EINVAL or Errno.EIO or Errno.ENOMEM or Errno.ENOBUFS or Errno.EFAULT:
                    return false;
                default:
                    throw Failed($"write to {Name}");
            }
        }
    }

    /// <summary>Removes the interface.</summary>
    public void Dispose()
    {
        _tap.Dispose();
        _wake.Dispose();
    }

    private static int OpenControl()
    {
        int fd;

        // unsafe: the call takes a pointer. Safe: the path lies on the stack.
        unsafe
        {
            fd = LibC.open(
                RawPath.Encode(ControlPath, stackalloc byte[64]), LibC.O_RDWR | LibC.O_NONBLOCK | LibC.O_CLOEXEC);
        }

        Check(fd, $"open {ControlPath}");
        return fd;
    }

    private static int Descriptor(SafeFileHandle handle) => (int)handle.DangerousGetHandle();

    private static byte[] Request(string name)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        if (name.Length >= NetIf.IFNAMSIZ || !Ascii.IsValid(name))
        {
            throw new ArgumentException($"An interface's name has at most {NetIf.IFNAMSIZ - 1} octets of ASCII.", nameof(name));
        }

        byte[] request = new byte[NetIf.IfreqLength];
        _ = Encoding.ASCII.GetBytes(name, request.AsSpan(NetIf.NameOffset));
        return request;
    }

    private static void Set(byte[] request, int offset, int value)
    {
        // ifr_flags is a short, the others are ints; the rest of the union is 0 in both cases.
        BinaryPrimitives.WriteInt32LittleEndian(request.AsSpan(offset), value);
    }

    private static void Ask(uint code, byte[] request, int offset, int value, string what)
    {
        Set(request, offset, value);
        Ask(code, request, what);
    }

    // Any socket will do to ask the kernel about interfaces.
    private static void Ask(uint code, byte[] request, string what)
    {
        int socket = LibC.socket(LibC.AF_INET, LibC.SOCK_DGRAM | LibC.SOCK_CLOEXEC, 0);
        Check(socket, "make a socket");
        using var owner = new SafeFileHandle(socket, ownsHandle: true);
        Check(Ioctl.Call(owner, code, request), what);
    }

    private static void Check(int result, string what)
    {
        if (result < 0)
        {
            throw Failed(what);
        }
    }

    private static IOException Failed(string what) =>
        new($"Could not {what}: {Errno.Describe(Marshal.GetLastPInvokeError())}.");
}
