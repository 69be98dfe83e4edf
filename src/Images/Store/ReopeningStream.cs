using XenTwoLevelCkpt.NativeInterop.Files;

namespace XenTwoLevelCkpt.Images.Store;

/// <summary>A file that is opened again where NFS has lost it (ESTALE): the server was restarted, or the file moved. Nothing in
/// a file of a store changes once it has its name.</summary>
internal sealed class ReopeningStream : Stream
{
    // ESTALE (errno(3)).
    private const int Stale = 116;

    // A handle that is lost each time it is opened is not worth more.
    private const int Attempts = 4;

    private readonly IFileLayer _files;
    private readonly string _path;
    private Stream _stream;

    internal ReopeningStream(IFileLayer files, string path)
    {
        _files = files;
        _path = path;
        _stream = Again(() => files.OpenRead(path));
    }

    /// <summary>Does something again where a handle was lost meanwhile.</summary>
    /// <param name="action">What to do.</param>
    internal static T Again<T>(Func<T> action)
    {
        for (int attempt = 1; ; attempt++)
        {
            try
            {
                return action();
            }
            catch (IOException e) when (e.HResult == Stale && attempt < Attempts)
            {
            }
        }
    }

    public override bool CanRead => true;

    public override bool CanSeek => true;

    public override bool CanWrite => false;

    public override long Length => Ask(static (s, _) => s.Length, 0);

    public override long Position
    {
        get => _stream.Position;
        set => _stream.Position = value;
    }

    public override int Read(Span<byte> buffer)
    {
        for (int attempt = 1; ; attempt++)
        {
            long position = _stream.Position;
            try
            {
                return _stream.Read(buffer);
            }
            catch (IOException e) when (e.HResult == Stale && attempt < Attempts)
            {
                Reopen(position);
            }
        }
    }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override int ReadByte()
    {
        Span<byte> one = stackalloc byte[1];
        return Read(one) == 0 ? -1 : one[0];
    }

    public override long Seek(long offset, SeekOrigin origin) => Ask(static (s, o) => s.Seek(o.Item1, o.Item2), (offset, origin));

    public override void Flush()
    {
    }

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _stream.Dispose();
        }

        base.Dispose(disposing);
    }

    private long Ask<T>(Func<Stream, T, long> ask, T argument)
    {
        for (int attempt = 1; ; attempt++)
        {
            long position = _stream.Position;
            try
            {
                return ask(_stream, argument);
            }
            catch (IOException e) when (e.HResult == Stale && attempt < Attempts)
            {
                Reopen(position);
            }
        }
    }

    private void Reopen(long position)
    {
        Stream again = _files.OpenRead(_path);
        again.Position = position;
        _stream.Dispose();
        _stream = again;
    }
}
