using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
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
                Version => Deserialize(document, DiskJson.Default.DiskDocument).Disks,
                VersionWithoutDirectories => Deserialize(document, DiskJson.Default.OldDiskDocument).Disks.Now(),
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
        Path, stream => JsonSerializer.Serialize(
            stream, new DiskDocument(Format, Version, state), DiskJson.Default.DiskDocument));

    // 0 where it is none.
    private static int VersionOf(JsonElement document) =>
        document.ValueKind == JsonValueKind.Object
        && document.TryGetProperty("format", out JsonElement format) && format.ValueKind == JsonValueKind.String
        && format.GetString() == Format
        && document.TryGetProperty("version", out JsonElement version) && version.ValueKind == JsonValueKind.Number
        && version.TryGetInt32(out int number)
            ? number
            : 0;

    private static T Deserialize<T>(JsonDocument document, JsonTypeInfo<T> type) =>
        document.Deserialize(type) ?? throw new JsonException("It is empty.");
}

/// <summary>The registry's file.</summary>
/// <param name="Format">What kind of file it is.</param>
/// <param name="Version">The version of its contents.</param>
/// <param name="Disks">The contents.</param>
internal sealed record DiskDocument(string Format, int Version, DiskState Disks);

/// <summary>The registry's file before there were directories.</summary>
/// <param name="Format">What kind of file it is.</param>
/// <param name="Version">The version of its contents.</param>
/// <param name="Disks">The contents.</param>
internal sealed record OldDiskDocument(string Format, int Version, OldDisks Disks);

/// <summary>What a host knew of its disks before there were directories.</summary>
/// <param name="Pools">Thin pools.</param>
/// <param name="Volumes">Volumes of the pools.</param>
internal sealed record OldDisks(IReadOnlyList<PoolRecord> Pools, IReadOnlyList<VolumeRecord> Volumes)
{
    internal DiskState Now() => new(Pools, Volumes, []);
}

/// <summary>The registry's serialisers, made at build time. A member that is not known is refused: it is a later
/// version's, and would be lost by writing the file.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    WriteIndented = true,
    IgnoreReadOnlyProperties = true,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
    RespectRequiredConstructorParameters = true,
    RespectNullableAnnotations = true)]
[JsonSerializable(typeof(DiskDocument))]
[JsonSerializable(typeof(OldDiskDocument))]
internal sealed partial class DiskJson : JsonSerializerContext;
