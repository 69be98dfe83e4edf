using XenTwoLevelCkpt.NativeInterop.Memory;
using XenTwoLevelCkpt.XlStream;

namespace XenTwoLevelCkpt.Hypervisor.Model;

/// <summary>Writes a PV guest of the model as libxenguest does: all pages while the guest runs, then those that it wrote
/// meanwhile; or all of them while it is suspended, where there is no dirty log.</summary>
/// <remarks>The memory is the guest's; the rest of its state is made up.</remarks>
internal static class ModelPvStream
{
    private const int BasicContext = 5168;
    private const int FramesPerPage = 512;
    private const string Config = """{"c_info":{"type":"pv","name":"pv"}}""";

    /// <summary>Writes the stream.</summary>
    /// <param name="guest">A PV guest.</param>
    /// <param name="output">Receives it.</param>
    /// <param name="suspend">Returns when the guest is suspended.</param>
    internal static void Write(ModelGuest guest, Stream output, Action suspend)
    {
        bool live = guest.HasDirtyLog;
        if (live && guest.ShadowControl(ShadowOp.EnableLogDirty) != 0)
        {
            throw new DirtyLogBusyException(guest.Name);
        }

        try
        {
            if (!live)
            {
                suspend();
            }

            // As libxenguest: what the guest is given from here on has no place in the stream.
            long count = guest.PfnCount;
            XlStreamWriter writer = Start(new WithoutFileHeaders(output), count);
            WritePages(guest, writer, Enumerable.Range(0, (int)count).Select(p => (long)p));
            if (live)
            {
                suspend();
                WritePages(guest, writer, Dirty(guest, count));
            }

            writer.Complete();
        }
        finally
        {
            _ = guest.ShadowControl(ShadowOp.Off);
        }
    }

    private static XlStreamWriter Start(Stream output, long count)
    {
        long frames = (count + FramesPerPage - 1) / FramesPerPage;
        return XlStreamWriter.Start(
            output, new XlDomain(Config, 4, 17, XlGuestKind.Pv),
            new XlPvState(
                8, 4, default, default,
                new XlP2mFrames(0, (uint)(count - 1), Enumerable.Range(0, (int)frames).Select(f => (long)f).ToArray()),
                new XlTsc(0, 0, 1, 0), new byte[ModelGuest.PageSize],
                [new XlPvVcpu(0, new byte[BasicContext], default, default, default)]));
    }

    private static List<long> Dirty(ModelGuest guest, long count)
    {
        ulong[] words = new ulong[DirtyBitmap.WordsFor(guest.PfnCount)];
        _ = guest.ShadowControl(ShadowOp.Clean, words, final: true);
        var pages = new List<long>();
        for (long pfn = 0; pfn < count; pfn++)
        {
            if ((words[pfn >> 6] >> (int)(pfn & 63) & 1) != 0)
            {
                pages.Add(pfn);
            }
        }

        return pages;
    }

    private static void WritePages(ModelGuest guest, XlStreamWriter writer, IEnumerable<long> pages)
    {
        byte[] page = new byte[ModelGuest.PageSize];
        foreach (long pfn in pages)
        {
            bool there = guest.TryReadPage(pfn, page);
            writer.WritePages(
                [pfn], [there ? XlPageType.Normal : XlPageType.Unpopulated], there ? page : []);
        }
    }

    /// <summary>Drops what a file has before the libxc stream: xl's header and configuration, libxl's header and the header of
    /// its record.</summary>
    private sealed class WithoutFileHeaders(Stream inner) : Stream
    {
        /// <summary>Of xl's header; its last four octets tell how long the configuration behind it is.</summary>
        private const int XlHeader = 48;

        private const int LibxlHeaders = 16 + 8;

        private readonly MemoryStream _head = new();
        private bool _passed;

        public override bool CanRead => false;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

        public override void Write(ReadOnlySpan<byte> buffer)
        {
            if (_passed)
            {
                inner.Write(buffer);
                return;
            }

            _head.Write(buffer);
            byte[] head = _head.ToArray();
            if (head.Length < XlHeader)
            {
                return;
            }

            int skip = XlHeader + BitConverter.ToInt32(head, XlHeader - sizeof(int)) + LibxlHeaders;
            if (head.Length >= skip)
            {
                _passed = true;
                inner.Write(head.AsSpan(skip));
            }
        }

        public override void Flush() => inner.Flush();

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();
    }
}
