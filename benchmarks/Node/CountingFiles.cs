using XenTwoLevelCkpt.NativeInterop.Files;

namespace XenTwoLevelCkpt.Benchmarks.Node;

/// <summary>The files of this system, and how much is written to them.</summary>
internal sealed class CountingFiles : IFileLayer
{
    private static readonly SystemFiles Inner = SystemFiles.Instance;
    private long _written;

    internal long Written => Volatile.Read(ref _written);

    public Stream Create(string path) => new Counter(this, Inner.Create(path));

    public void Sync(Stream stream) => ((Counter)stream).Flush();

    public void MakeFolder(string path) => Inner.MakeFolder(path);

    public Stream OpenRead(string path) => Inner.OpenRead(path);

    public bool FolderExists(string path) => Inner.FolderExists(path);

    public IReadOnlyList<string> FilesIn(string path) => Inner.FilesIn(path);

    public IReadOnlyList<string> FoldersIn(string path) => Inner.FoldersIn(path);

    public void MoveFile(string from, string to) => Inner.MoveFile(from, to);

    public void MoveFolder(string from, string to) => Inner.MoveFolder(from, to);

    public void DeleteFile(string path) => Inner.DeleteFile(path);

    public void DeleteFolder(string path) => Inner.DeleteFolder(path);

    public void SyncFolder(string path)
    {
        // What the device takes is not measured.
    }

    public IDisposable? TryLock(string path) => Inner.TryLock(path);

    public long? FreeBytes(string path) => Inner.FreeBytes(path);

    private sealed class Counter(CountingFiles files, Stream inner) : Stream
    {
        public override bool CanRead => false;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => inner.Length;

        public override long Position
        {
            get => inner.Position;
            set => throw new NotSupportedException();
        }

        public override void Flush() => inner.Flush();

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

        public override void Write(ReadOnlySpan<byte> buffer)
        {
            inner.Write(buffer);
            _ = Interlocked.Add(ref files._written, buffer.Length);
        }

        protected override void Dispose(bool disposing)
        {
            if (disposing)
            {
                inner.Dispose();
            }

            base.Dispose(disposing);
        }
    }
}
