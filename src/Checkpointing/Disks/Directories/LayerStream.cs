using System.Globalization;
using System.Text;
using Microsoft.Win32.SafeHandles;
using XenTwoLevelCkpt.NativeInterop.Files;

namespace XenTwoLevelCkpt.Checkpointing.Disks.Directories;

/// <summary>A tree as the stream of one layer: a pax archive, as docs/checkpoint-format.md specifies it. Read once from the
/// front; of a file's contents no more than a piece is in memory.</summary>
/// <remarks>Of one tree there is one stream: entries come in the order of their names' octets, and nothing of the host is
/// in it.</remarks>
internal sealed class LayerStream : Stream
{
    internal const int Block = 512;

    /// <summary>What the extended header of an entry has at most; more is no attribute list of a file system.</summary>
    internal const int MaxExtended = 16 << 20;

    /// <summary>The extended header's keyword for what a tar archive has no type for.</summary>
    internal const string TypeKeyword = "XTL.type", Socket = "socket";

    /// <summary>What the keywords of attributes begin with, as GNU tar and star write them.</summary>
    internal const string AttributePrefix = "SCHILY.xattr.";

    /// <summary>Octal digits of sizes in a header: more is in the extended header.</summary>
    private const long MaxSize = (1L << 33) - 1;

    /// <summary>Octal digits of owners in a header.</summary>
    private const uint MaxOwner = (1 << 21) - 1;

    private const int Piece = 256 << 10;

    private readonly IEnumerator<ReadOnlyMemory<byte>> _pieces;
    private readonly Dictionary<ulong, string> _linked = [];
    private readonly string _root;
    private readonly RawTime? _sealedAt;
    private readonly bool _seen;
    private readonly byte[] _buffer = new byte[Piece];
    private ReadOnlyMemory<byte> _rest;

    /// <summary>Begins a stream.</summary>
    /// <param name="root">The tree's raw path.</param>
    /// <param name="sealedAt">When the tree was sealed: one that changed later is an error. Null where it is not known.
    /// </param>
    /// <param name="seen">The tree is one as a guest sees it, through a mount, and not a layer.</param>
    internal LayerStream(string root, RawTime? sealedAt, bool seen = false)
    {
        _seen = seen;
        _root = root;
        _sealedAt = sealedAt;
        _pieces = Produce().GetEnumerator();
    }

    /// <inheritdoc/>
    public override bool CanRead => true;

    /// <inheritdoc/>
    public override bool CanSeek => false;

    /// <inheritdoc/>
    public override bool CanWrite => false;

    /// <inheritdoc/>
    public override long Length => throw new NotSupportedException();

    /// <inheritdoc/>
    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <inheritdoc/>
    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    /// <inheritdoc/>
    /// <exception cref="DiskException">The tree holds what a layer cannot, or changed.</exception>
    public override int Read(Span<byte> buffer)
    {
        while (_rest.IsEmpty)
        {
            if (!_pieces.MoveNext())
            {
                return 0;
            }

            _rest = _pieces.Current;
        }

        int length = Math.Min(buffer.Length, _rest.Length);
        _rest.Span[..length].CopyTo(buffer);
        _rest = _rest[length..];
        return length;
    }

    /// <inheritdoc/>
    public override void Flush()
    {
        // Only read.
    }

    /// <inheritdoc/>
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    /// <inheritdoc/>
    public override void SetLength(long value) => throw new NotSupportedException();

    /// <inheritdoc/>
    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _pieces.Dispose();
        }

        base.Dispose(disposing);
    }

    /// <summary>The attributes of a file that belong to a layer: overlayfs's own but the mark of an opaque directory say
    /// where a file came from on this host.</summary>
    /// <exception cref="DiskException">One that changes what the file is, and that no mount of this software makes.
    /// </exception>
    /// <param name="path">The file's raw path.</param>
    /// <param name="seen">It is in a tree as a guest sees it, where overlayfs's own are those of an overlayfs inside the tree.
    /// </param>
    internal static IEnumerable<(string Name, byte[] Value)> Attributes(string path, bool seen)
    {
        foreach ((string name, byte[] value) in RawAttributes.Read(path))
        {
            if (seen)
            {
                yield return (OverlayNames.Stored(name), value);
                continue;
            }

            if (name is OverlayNames.Redirect or OverlayNames.Metacopy)
            {
                throw new DiskException(
                    $"{RawPath.ToText(path)} has attribute {name}: it was changed through a mount that this software did not "
                    + "make.");
            }

            if (name == OverlayNames.Opaque || OverlayNames.IsEscaped(name) || !OverlayNames.IsOwn(name))
            {
                yield return (name, value);
            }
        }
    }

    private IEnumerable<ReadOnlyMemory<byte>> Produce()
    {
        // Depth first, with a stack of its own: trees may be deeper than a thread's stack.
        var pending = new Stack<string>();
        pending.Push(".");
        while (pending.TryPop(out string? name))
        {
            string path = name == "." ? _root : $"{_root}/{name}";
            RawStat stat = RawFiles.Stat(path);
            RequireUnchanged(path, stat);
            string? link = null;
            if (stat is { Type: RawFileType.Regular, Links: > 1 } && !_linked.TryAdd(stat.Inode, name))
            {
                link = _linked[stat.Inode];
            }

            yield return Header(path, name, stat, link);
            if (stat.Type == RawFileType.Directory)
            {
                string[] names = RawFiles.List(path);
                for (int i = names.Length - 1; i >= 0; i--)
                {
                    pending.Push(name == "." ? names[i] : $"{name}/{names[i]}");
                }
            }
            else if (stat.Type == RawFileType.Regular && link is null)
            {
                using SafeFileHandle file = RawFiles.OpenToRead(path);
                for (long at = 0; at < stat.Length;)
                {
                    int length = RandomAccess.Read(file, _buffer.AsSpan(0, (int)Math.Min(Piece, stat.Length - at)), at);
                    if (length == 0)
                    {
                        throw new DiskException($"{RawPath.ToText(path)} became shorter after it was sealed.");
                    }

                    at += length;
                    yield return _buffer.AsMemory(0, length);
                }

                RequireUnchanged(path, RawFiles.Stat(file));
                yield return Padding(stat.Length);
            }
        }

        yield return new byte[2 * Block];
    }

    private void RequireUnchanged(string path, RawStat stat)
    {
        if (_sealedAt is { } moment && stat.Changed.IsAfter(moment))
        {
            throw new DiskException(
                $"{RawPath.ToText(path)} was changed after it was sealed, by something else than the guest. Whatever writes in "
                + "there has to end; the next checkpoint has the change.");
        }
    }

    private static byte[] Padding(long length) => new byte[(Block - (length % Block)) % Block];

    // The extended header and the header of an entry.
    private byte[] Header(string path, string name, RawStat stat, string? link)
    {
        long size = stat.Type == RawFileType.Regular && link is null ? stat.Length : 0;
        string? target = stat.Type == RawFileType.Symlink ? RawFiles.ReadSymlink(path) : link;
        using var extended = new MemoryStream();
        Add(extended, "path", Octets(name));
        if (target is not null)
        {
            Add(extended, "linkpath", Octets(target));
        }

        Add(extended, "mtime", Octets(Text(stat.Modified)));
        AddWhere(extended, "size", size, size > MaxSize);
        AddWhere(extended, "uid", stat.Owner, stat.Owner > MaxOwner);
        AddWhere(extended, "gid", stat.Group, stat.Group > MaxOwner);
        if (stat.Type == RawFileType.Socket)
        {
            Add(extended, TypeKeyword, Octets(Socket));
        }

        if (link is null)
        {
            foreach ((string attribute, byte[] value) in Attributes(path, _seen))
            {
                Add(extended, AttributePrefix + EncodeKeyword(attribute), value);
            }
        }

        if (extended.Length > MaxExtended)
        {
            throw new DiskException($"{RawPath.ToText(path)} has {extended.Length} octets of attributes, which is too much.");
        }

        byte[] bytes = new byte[Block + Up(extended.Length) + Block];
        WriteHeader(bytes, "pax", 'x', extended.Length, new RawStat { Permissions = 420 /* 0644 */ });
        extended.GetBuffer().AsSpan(0, (int)extended.Length).CopyTo(bytes.AsSpan(Block));
        WriteHeader(
            bytes.AsSpan(bytes.Length - Block), name, link is null ? TypeFlag(stat.Type) : '1', size > MaxSize ? 0 : size, stat);
        return bytes;
    }

    private static char TypeFlag(RawFileType type) => type switch
    {
        RawFileType.Symlink => '2',
        RawFileType.CharacterDevice => '3',
        RawFileType.BlockDevice => '4',
        RawFileType.Directory => '5',
        RawFileType.Fifo or RawFileType.Socket => '6',
        _ => '0',
    };

    private static void WriteHeader(Span<byte> block, string name, char type, long size, in RawStat stat)
    {
        Encoding.Latin1.GetBytes(name.AsSpan(0, Math.Min(name.Length, 100)), block);
        Octal(block.Slice(100, 8), stat.Permissions);
        Octal(block.Slice(108, 8), stat.Owner > MaxOwner ? 0 : stat.Owner);
        Octal(block.Slice(116, 8), stat.Group > MaxOwner ? 0 : stat.Group);
        Octal(block.Slice(124, 12), size);
        Octal(block.Slice(136, 12), Math.Clamp(stat.Modified.Seconds, 0, MaxSize));
        block.Slice(148, 8).Fill((byte)' ');
        block[156] = (byte)type;
        "ustar\000"u8.CopyTo(block[257..]);
        block[263] = (byte)'0';
        block[264] = (byte)'0';
        Octal(block.Slice(329, 8), stat.Device.Major);
        Octal(block.Slice(337, 8), stat.Device.Minor);
        int sum = 0;
        foreach (byte b in block[..Block])
        {
            sum += b;
        }

        Octal(block.Slice(148, 7), sum);
    }

    private static void Octal(Span<byte> field, long value)
    {
        field[^1] = 0;
        for (int i = field.Length - 2; i >= 0; i--, value >>= 3)
        {
            field[i] = (byte)('0' + (value & 7));
        }
    }

    // A record of the extended header: its own length in decimal digits, and so on.
    private static void Add(MemoryStream extended, string keyword, byte[] value)
    {
        int rest = 1 + keyword.Length + 1 + value.Length + 1;
        int length = rest + 1;
        while (length != rest + length.ToString(CultureInfo.InvariantCulture).Length)
        {
            length = rest + length.ToString(CultureInfo.InvariantCulture).Length;
        }

        extended.Write(Octets($"{length.ToString(CultureInfo.InvariantCulture)} {keyword}="));
        extended.Write(value);
        extended.WriteByte((byte)'\n');
    }

    private static void AddWhere(MemoryStream extended, string keyword, long value, bool where)
    {
        if (where)
        {
            Add(extended, keyword, Octets(value.ToString(CultureInfo.InvariantCulture)));
        }
    }

    // As GNU tar does: a keyword ends at the first '='.
    private static string EncodeKeyword(string name) =>
        name.Replace("%", "%25", StringComparison.Ordinal).Replace("=", "%3D", StringComparison.Ordinal);

    // A time before 1970 counts backwards from there: -0.5 is half a second before.
    private static string Text(RawTime time)
    {
        (long seconds, uint nanoseconds) = (time.Seconds, time.Nanoseconds);
        string sign = "";
        if (seconds < 0)
        {
            sign = "-";
            (seconds, nanoseconds) = nanoseconds == 0 ? (-seconds, 0) : (-seconds - 1, 1_000_000_000 - nanoseconds);
        }

        return string.Create(CultureInfo.InvariantCulture, $"{sign}{seconds}.{nanoseconds:D9}");
    }

    private static byte[] Octets(string raw) => Encoding.Latin1.GetBytes(raw);

    private static int Up(long length) => (int)((length + Block - 1) / Block * Block);
}
