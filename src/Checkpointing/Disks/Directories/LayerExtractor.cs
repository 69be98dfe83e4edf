using System.Globalization;
using System.Text;
using Microsoft.Win32.SafeHandles;
using XenTwoLevelCkpt.NativeInterop.Files;

namespace XenTwoLevelCkpt.Checkpointing.Disks.Directories;

/// <summary>Makes a tree of a layer's stream, which is given to it in pieces (<see cref="LayerStream"/> writes it).</summary>
/// <remarks>An archive that would write outside the tree is refused: names are relative and without "..", and every
/// directory of a name has come before as a directory.</remarks>
internal sealed class LayerExtractor : IDisposable
{
    private readonly string _root;
    private readonly HashSet<string> _directories = new(StringComparer.Ordinal) { "." };
    private readonly List<(string Path, RawTime Time)> _times = [];
    private readonly byte[] _block = new byte[LayerStream.Block];
    private readonly Dictionary<string, byte[]> _records = new(StringComparer.Ordinal);
    private readonly Dictionary<string, byte[]> _attributes = new(StringComparer.Ordinal);
    private int _filled;
    private MemoryStream? _extended;
    private SafeFileHandle? _file;
    private Action? _finish;
    private long _length;
    private long _left;
    private int _padding;
    private int _zeroBlocks;

    /// <summary>Begins a tree.</summary>
    /// <param name="root">Its raw path: an empty directory.</param>
    internal LayerExtractor(string root) => _root = root;

    /// <inheritdoc/>
    public void Dispose() => _file?.Dispose();

    /// <summary>Takes the next piece.</summary>
    /// <exception cref="DiskException">This is no layer.</exception>
    /// <exception cref="IOException">Something cannot be made.</exception>
    internal void Write(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            if (_left > 0)
            {
                int length = (int)Math.Min(_left, bytes.Length);
                TakeData(bytes[..length]);
                bytes = bytes[length..];
                _left -= length;
                if (_left == 0)
                {
                    FinishEntry();
                }

                continue;
            }

            if (_padding > 0)
            {
                int length = Math.Min(_padding, bytes.Length);
                bytes = bytes[length..];
                _padding -= length;
                continue;
            }

            int part = Math.Min(_block.Length - _filled, bytes.Length);
            bytes[..part].CopyTo(_block.AsSpan(_filled));
            bytes = bytes[part..];
            _filled += part;
            if (_filled == _block.Length)
            {
                _filled = 0;
                TakeHeader();
            }
        }
    }

    /// <summary>The stream is at its end.</summary>
    /// <exception cref="DiskException">It was cut.</exception>
    internal void Complete()
    {
        if (_zeroBlocks != 2 || _filled != 0)
        {
            throw new DiskException("A layer of a directory ends in the middle.");
        }

        // Making entries changed the times of the directories that they are in.
        for (int i = _times.Count - 1; i >= 0; i--)
        {
            RawFiles.SetModified(_times[i].Path, _times[i].Time);
        }
    }

    private void TakeData(ReadOnlySpan<byte> bytes)
    {
        if (_extended is { } extended)
        {
            extended.Write(bytes);
        }
        else
        {
            WriteSparsely(bytes, _length - _left);
        }
    }

    // What is zeros is left out, as far as whole pages go: files with holes have them again.
    private void WriteSparsely(ReadOnlySpan<byte> bytes, long offset)
    {
        const int Page = 4096;
        while (!bytes.IsEmpty)
        {
            int length = (int)Math.Min(bytes.Length, Page - (offset % Page));
            if (bytes[..length].ContainsAnyExcept((byte)0))
            {
                int more = length;
                while (more + Page <= bytes.Length && bytes.Slice(more, Page).ContainsAnyExcept((byte)0))
                {
                    more += Page;
                }

                RandomAccess.Write(_file!, bytes[..more], offset);
                length = more;
            }

            bytes = bytes[length..];
            offset += length;
        }
    }

    private void FinishEntry()
    {
        _padding = (int)((LayerStream.Block - (_length % LayerStream.Block)) % LayerStream.Block);
        if (_extended is { } extended)
        {
            ReadRecords(extended.GetBuffer().AsSpan(0, (int)extended.Length));
            _extended = null;
            return;
        }

        if (_file is { } file)
        {
            RandomAccess.SetLength(file, _length);
            file.Dispose();
            _file = null;
        }

        _finish?.Invoke();
        _finish = null;
    }

    private void TakeHeader()
    {
        if (_zeroBlocks > 0 || !_block.AsSpan().ContainsAnyExcept((byte)0))
        {
            Require(_zeroBlocks < 2 && !_block.AsSpan().ContainsAnyExcept((byte)0), "it goes on behind its end");
            _zeroBlocks++;
            return;
        }

        int sum = 8 * ' ';
        for (int i = 0; i < _block.Length; i++)
        {
            sum += i is >= 148 and < 156 ? 0 : _block[i];
        }

        Require(sum == Octal(148, 8), "a header's checksum is wrong");
        char type = (char)_block[156];
        if (type == 'x')
        {
            _length = _left = Octal(124, 12);
            Require(_length is > 0 and <= LayerStream.MaxExtended, "an extended header has an impossible length");
            _extended = new MemoryStream();
            return;
        }

        MakeEntry(type);
        _records.Clear();
        _attributes.Clear();
    }

    private void MakeEntry(char type)
    {
        Require(_records.ContainsKey("path") && _records.ContainsKey("mtime"), "an entry has no extended header");
        string name = Text("path")!;
        string path = PathOf(name);
        RawTime time = Time(Text("mtime")!);
        int permissions = (int)Octal(100, 8);
        Require(permissions is >= 0 and <= 4095, "an entry's mode is impossible");
        uint owner = (uint)Number("uid", Octal(108, 8), uint.MaxValue), group = (uint)Number("gid", Octal(116, 8), uint.MaxValue);
        _length = Number("size", Octal(124, 12), long.MaxValue);
        Require(type == '0' || _length == 0, "an entry that is no file has contents");
        switch (type)
        {
            case '0':
                _file = RawFiles.Create(path);
                break;
            case '1':
                RawFiles.Link(PathOf(Text("linkpath") ?? ""), path);
                return;
            case '2':
                RawFiles.MakeSymlink(Text("linkpath") ?? "", path);
                break;
            case '3' or '4':
                RawFiles.MakeNode(
                    path, type == '3' ? RawFileType.CharacterDevice : RawFileType.BlockDevice,
                    ((uint)Octal(329, 8), (uint)Octal(337, 8)));
                break;
            case '5':
                if (name != ".")
                {
                    RawFiles.MakeDirectory(path);
                    _ = _directories.Add(name);
                }

                _times.Add((path, time));
                break;
            case '6':
                RawFiles.MakeNode(
                    path, Text(LayerStream.TypeKeyword) == LayerStream.Socket ? RawFileType.Socket : RawFileType.Fifo);
                break;
            default:
                throw Wrong($"an entry is of type '{type}'");
        }

        (string, byte[])[] attributes = [.. _attributes.Select(a => (a.Key, a.Value))];
        _finish = () =>
        {
            // In this order: a new owner clears bits of the mode and capabilities.
            RawFiles.SetOwner(path, owner, group);
            if (type != '2')
            {
                RawFiles.SetPermissions(path, permissions);
            }

            foreach ((string attribute, byte[] value) in attributes)
            {
                RawAttributes.Set(path, attribute, value);
            }

            RawFiles.SetModified(path, time);
        };
        _left = _length;
        if (_left == 0)
        {
            FinishEntry();
        }
    }

    // LENGTH KEYWORD=VALUE LF, one after the other.
    private void ReadRecords(ReadOnlySpan<byte> bytes)
    {
        _records.Clear();
        _attributes.Clear();
        while (!bytes.IsEmpty)
        {
            int blank = bytes.IndexOf((byte)' '), equals = bytes.IndexOf((byte)'=');
            if (blank is <= 0 or >= 10 || equals <= blank
                || !int.TryParse(bytes[..blank], NumberStyles.None, CultureInfo.InvariantCulture, out int length)
                || length <= equals || length > bytes.Length || bytes[length - 1] != '\n')
            {
                throw Wrong("an extended header makes no sense");
            }

            string keyword = Encoding.Latin1.GetString(bytes[(blank + 1)..equals]);
            byte[] value = bytes[(equals + 1)..(length - 1)].ToArray();
            if (keyword.StartsWith(LayerStream.AttributePrefix, StringComparison.Ordinal))
            {
                string name = keyword[LayerStream.AttributePrefix.Length..].Replace("%3D", "=", StringComparison.Ordinal)
                    .Replace("%25", "%", StringComparison.Ordinal);
                _attributes[name] = value;
            }
            else
            {
                _records[keyword] = value;
            }

            bytes = bytes[length..];
        }
    }

    private string PathOf(string name)
    {
        if (name == ".")
        {
            return _root;
        }

        int slash = name.LastIndexOf('/');
        string parent = slash < 0 ? "." : name[..slash], last = name[(slash + 1)..];
        Require(
            last is not ("" or "." or "..") && !name.Contains('\0', StringComparison.Ordinal) && _directories.Contains(parent),
            $"'{RawPath.ToText(name)}' has no directory that came before");
        return $"{_root}/{name}";
    }

    private string? Text(string keyword) =>
        _records.TryGetValue(keyword, out byte[]? value) ? Encoding.Latin1.GetString(value) : null;

    private long Number(string keyword, long otherwise, long limit)
    {
        if (Text(keyword) is not { } text)
        {
            return otherwise;
        }

        return long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out long number) && number <= limit
            ? number
            : throw Wrong($"its {keyword} is '{text}'");
    }

    private static RawTime Time(string text)
    {
        bool negative = text.StartsWith('-');
        string[] parts = (negative ? text[1..] : text).Split('.');
        if (parts.Length != 2 || parts[1].Length != 9
            || !long.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out long seconds)
            || !uint.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out uint nanoseconds))
        {
            throw Wrong($"a time is '{text}'");
        }

        return (negative, nanoseconds) switch
        {
            (false, _) => new RawTime(seconds, nanoseconds),
            (true, 0) => new RawTime(-seconds, 0),
            _ => new RawTime(-seconds - 1, 1_000_000_000 - nanoseconds),
        };
    }

    private long Octal(int offset, int length)
    {
        long value = 0;
        foreach (byte b in _block.AsSpan(offset, length))
        {
            if (b is 0 or (byte)' ')
            {
                break;
            }

            Require(b is >= (byte)'0' and <= (byte)'7', "a number in a header makes no sense");
            value = (value << 3) | (long)(b - '0');
        }

        return value;
    }

    private static void Require(bool condition, string what)
    {
        if (!condition)
        {
            throw Wrong(what);
        }
    }

    private static DiskException Wrong(string what) => new($"A layer of a directory makes no sense: {what}.");
}
