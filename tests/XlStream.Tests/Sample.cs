using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.XlStream.Tests;

/// <summary>Makes files to test with.</summary>
internal static class Sample
{
    internal const int Page = 4096;

    /// <summary>The highest PFN of the PV guest.</summary>
    internal const uint LastPfn = 8000;

    internal static readonly XlTsc Tsc = new(2, 0x1122334455667788, 2_600_000, 3);

    internal static readonly XlHvmState Hvm = new(
        Bytes(1, 5 * 24), Bytes(2, 2 * 16), Tsc,
        new Dictionary<uint, ulong> { [17] = 0xfefff, [1] = 0xfeffe, [12] = 0xffc000, [38] = 1 },
        Bytes(3, 1000));

    internal static readonly XlPvState Pv = new(
        8, 4, Bytes(1, 5 * 24), Bytes(2, 16),
        new XlP2mFrames(0, LastPfn, Enumerable.Range(100, 16).Select(i => (long)i).ToArray()), Tsc, Bytes(4, Page),
        [
            new XlPvVcpu(0, Bytes(5, 5168), Bytes(6, 128), Bytes(7, 848), Bytes(8, 48)),
            new XlPvVcpu(1, Bytes(9, 5168), default, default, default),
        ]);

    internal static string Config(string type) => $$"""
        {
            "c_info": {
                "type": "{{type}}",
                "name": "guest-1",
                "uuid": "0c8de1f2-6c3a-4f4e-9a35-5d2f1b7a9e01",
                "run_hotplug_scripts": "True"
            },
            "b_info": {
                "max_vcpus": 1,
                "avail_vcpus": [ 0 ],
                "max_memkb": 131072,
                "kernel": "/boot/vmlinuz",
                "type.{{type}}": { }
            },
            "disks": [
                { "pdev_path": "/dev/mapper/g1", "vdev": "xvda", "backend": "phy", "format": "raw", "readwrite": 1 },
                { "vdev": "hdc", "backend": "qdisk", "format": "empty", "removable": 1, "is_cdrom": 1 }
            ],
            "nics": [ { "devid": 0, "mac": "00:16:3e:00:00:01", "bridge": "xenbr0" } ],
            "on_reboot": "restart"
        }

        """;

    internal static XlDomain Domain(XlGuestKind kind) =>
        new(Config(kind == XlGuestKind.Pv ? "pv" : "pvh"), 4, 17, kind);

    internal static XlStreamWriter Start(Stream stream, XlGuestKind kind) => kind == XlGuestKind.Pv
        ? XlStreamWriter.Start(stream, Domain(kind), Pv)
        : XlStreamWriter.Start(stream, Domain(kind), Hvm);

    internal static byte[] Write(XlGuestKind kind, Action<XlStreamWriter> pages)
    {
        var stream = new MemoryStream();
        XlStreamWriter writer = Start(new WriteOnly(stream), kind);
        pages(writer);
        writer.Complete();
        Assert.Equal(stream.Length, writer.BytesWritten);
        return stream.ToArray();
    }

    /// <summary>A small file: pages of all types that the kind has, and one that comes again.</summary>
    internal static byte[] Small(XlGuestKind kind) => Write(kind, writer =>
    {
        writer.WritePages([new PfnRun(16, 1), new PfnRun(100, 1)], Bytes(10, 2 * Page));
        XlPageType[] types = kind == XlGuestKind.Pv
            ? [XlPageType.L1Table, XlPageType.Unpopulated, XlPageType.Pinned | XlPageType.L4Table, XlPageType.Broken]
            : [XlPageType.Normal, XlPageType.Unpopulated, XlPageType.AllocateOnly, XlPageType.Broken];
        long[] pfns = [7, 100, 8, 9];
        writer.WritePages(pfns, types, Bytes(11, types.Count(t => t.HasContents()) * Page));
    });

    internal static Memory Read(byte[] file) => Read(new MemoryStream(file));

    internal static Memory Read(Stream file)
    {
        var memory = new Memory();
        new XlStreamReader(file).ReadToEnd(memory);
        return memory;
    }

    internal static byte[] Bytes(int seed, int length)
    {
        byte[] bytes = new byte[length];
        new Random(seed).NextBytes(bytes);

        // No zero at the end, where it could be taken for padding.
        bytes[^1] |= 1;
        return bytes;
    }

    /// <summary>A stream that can neither seek nor read, as a pipe's end.</summary>
    internal sealed class WriteOnly(Stream inner) : Stream
    {
        public override bool CanRead => false;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override void Flush() => inner.Flush();

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => inner.Write(buffer, offset, count);

        public override void Write(ReadOnlySpan<byte> buffer) => inner.Write(buffer);
    }
}
