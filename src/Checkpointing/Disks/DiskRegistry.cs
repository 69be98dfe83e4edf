using System.Text.Json;
using System.Text.Json.Serialization;
using XenTwoLevelCkpt.NativeInterop.Files;

namespace XenTwoLevelCkpt.Checkpointing.Disks;

/// <summary>The host's record of its disks, <c>disks.json</c> in the state directory. A change is on disk as a whole or
/// not at all, and before what it tells of is done.</summary>
/// <remarks>Thread-safe, and safe between processes: changes take a lock, reading does not.</remarks>
public sealed class DiskRegistry
{
    private const string FileName = "disks.json";
    private const string LockName = "disks.lock";
    private const string Format = "xtl-disks";
    private const int Version = 2;

    /// <summary>Before there were directories.</summary>
    private const int VersionWithoutDirectories = 1;

    /// <summary>Ten seconds in all: a change takes milliseconds, and an fsync on a busy disk some seconds.</summary>
    private const int LockAttempts = 200;

    private static readonly TimeSpan LockPause = TimeSpan.FromMilliseconds(50);

    private static readonly JsonSerializerOptions Json = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        WriteIndented = true,
        IgnoreReadOnlyProperties = true,
        // A later version's members would be lost by writing the file.
        UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
        RespectRequiredConstructorParameters = true,
        RespectNullableAnnotations = true,
    };

    private readonly string _directory;

    /// <summary>Opens the registry.</summary>
    /// <param name="directory">The state directory; made where it is missing.</param>
    /// <exception cref="IOException">It cannot be made.</exception>
    public DiskRegistry(string directory)
    {
        ArgumentException.ThrowIfNullOrEmpty(directory);
        _directory = directory;
        _ = Directory.CreateDirectory(
            directory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }

    /// <summary>The registry's file.</summary>
    public string Path => System.IO.Path.Combine(_directory, FileName);

    /// <summary>Reads what is known.</summary>
    /// <exception cref="DiskException">The file is damaged, or of a later version.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public DiskState Read()
    {
        byte[] bytes;
        try
        {
            bytes = File.ReadAllBytes(Path);
        }
        catch (FileNotFoundException)
        {
            return DiskState.Empty;
        }

        try
        {
            using JsonDocument document = JsonDocument.Parse(bytes);
            return VersionOf(document.RootElement) switch
            {
                Version => Deserialize<Document>(document).Disks,
                VersionWithoutDirectories => Deserialize<OldDocument>(document).Disks.Now(),
                > Version => throw new DiskException(
                    $"{Path} is not of this version. It was written by a later release, which can be used instead."),
                _ => throw new JsonException("It is no record of disks."),
            };
        }
        catch (JsonException e)
        {
            throw new DiskException(
                $"{Path} is damaged: {e.Message} Nothing is changed while it is. Put a copy of it back, or correct it.", e);
        }
    }

    /// <summary>Changes what is known.</summary>
    /// <param name="change">Makes the new state of the present one; called once, with the lock held.</param>
    /// <returns>The new state, on disk.</returns>
    /// <exception cref="DiskException">The file is damaged.</exception>
    /// <exception cref="IOException">It could not be written; it is as it was, or, where only the last sync of the
    /// directory failed, as it was to be.</exception>
    public DiskState Update(Func<DiskState, DiskState> change)
    {
        ArgumentNullException.ThrowIfNull(change);
        using FileStream held = Hold(LockName, LockAttempts);
        DiskState state = change(Read());
        Write(state);
        return state;
    }

    /// <summary>Holds a lock of the state directory against other processes and threads.</summary>
    /// <param name="name">The lock file's name.</param>
    /// <param name="attempts">How often it is tried, 50 ms apart.</param>
    /// <exception cref="IOException">Another one held it all the time.</exception>
    internal FileStream Hold(string name, int attempts)
    {
        string path = System.IO.Path.Combine(_directory, name);
        for (int attempt = 1; ; attempt++)
        {
            try
            {
                return new FileStream(path, new FileStreamOptions
                {
                    Mode = FileMode.OpenOrCreate,
                    Access = FileAccess.ReadWrite,
                    Share = FileShare.None,
                    UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
                });
            }
            catch (IOException) when (attempt < attempts)
            {
                Thread.Sleep(LockPause);
            }
        }
    }

    private void Write(DiskState state) => DurableFile.Replace(
        Path, stream => JsonSerializer.Serialize(stream, new Document(Format, Version, state), Json));

    // 0 where it is none.
    private static int VersionOf(JsonElement document) =>
        document.ValueKind == JsonValueKind.Object
        && document.TryGetProperty("format", out JsonElement format) && format.ValueKind == JsonValueKind.String
        && format.GetString() == Format
        && document.TryGetProperty("version", out JsonElement version) && version.ValueKind == JsonValueKind.Number
        && version.TryGetInt32(out int number)
            ? number
            : 0;

    private static T Deserialize<T>(JsonDocument document) =>
        document.Deserialize<T>(Json) ?? throw new JsonException("It is empty.");

    private sealed record Document(string Format, int Version, DiskState Disks);

    private sealed record OldDocument(string Format, int Version, OldDisks Disks);

    private sealed record OldDisks(IReadOnlyList<PoolRecord> Pools, IReadOnlyList<VolumeRecord> Volumes)
    {
        internal DiskState Now() => new(Pools, Volumes, []);
    }
}
