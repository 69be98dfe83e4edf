using System.Text.Json;
using System.Text.Json.Serialization;
using XenTwoLevelCkpt.Checkpointing.Node.Selection;
using XenTwoLevelCkpt.NativeInterop.Files;

namespace XenTwoLevelCkpt.Daemon;

/// <summary>What differs for domains from the node's settings: what operators set of a domain by its UUID, which is kept in the
/// state directory, before the entries of the configuration.</summary>
/// <remarks>Thread-safe.</remarks>
internal sealed class DomainPolicies
{
    private const string FileName = "domains.json";

    private readonly string _path;
    private readonly IReadOnlyList<DomainEntry> _entries;
    private readonly Lock _gate = new();
    private Dictionary<Guid, SetPolicy> _set;

    /// <summary>Reads what was set.</summary>
    /// <param name="directory">The state directory.</param>
    /// <param name="entries">The configuration's entries.</param>
    /// <exception cref="InvalidDataException">The file makes no sense.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    internal DomainPolicies(string directory, IReadOnlyList<DomainEntry> entries)
    {
        _path = Path.Combine(directory, FileName);
        _entries = entries;
        try
        {
            _set = File.Exists(_path)
                ? JsonSerializer.Deserialize(File.ReadAllBytes(_path), PolicyJson.Default.DictionaryGuidSetPolicy) ?? []
                : [];
        }
        catch (JsonException e)
        {
            throw new InvalidDataException(
                $"{_path} is damaged: {e.Message} Remove it and set domains again by 'xtlctl domain set'.", e);
        }
    }

    /// <summary>What differs for a domain; null for nothing.</summary>
    internal DomainPolicy? Of(Guid uuid, string? name)
    {
        SetPolicy? set;
        lock (_gate)
        {
            set = _set.GetValueOrDefault(uuid);
        }

        DomainPolicy? entry = (_entries.FirstOrDefault(e => Guid.TryParse(e.Name, out Guid id) && id == uuid)
            ?? _entries.FirstOrDefault(e => e.Name == name))?.Policy;
        return set is null ? entry : new DomainPolicy
        {
            Include = set.Include ?? entry?.Include ?? true,
            MemoryOnly = set.MemoryOnly ?? entry?.MemoryOnly,
            SuspendTimeout = set.SuspendTimeout ?? entry?.SuspendTimeout,
            WhenUnable = set.WhenUnable ?? entry?.WhenUnable,
        };
    }

    /// <summary>Sets what differs for a domain. On disk when this returns.</summary>
    /// <param name="uuid">The domain.</param>
    /// <param name="policy">What is null stays as it is.</param>
    /// <param name="reset">Forgets what was set before, first.</param>
    /// <exception cref="IOException">It cannot be written; nothing has changed.</exception>
    internal void Set(Guid uuid, SetPolicy policy, bool reset)
    {
        lock (_gate)
        {
            SetPolicy before = reset ? new SetPolicy() : _set.GetValueOrDefault(uuid) ?? new SetPolicy();
            var after = new SetPolicy(
                policy.Include ?? before.Include, policy.MemoryOnly ?? before.MemoryOnly,
                policy.SuspendTimeout ?? before.SuspendTimeout, policy.WhenUnable ?? before.WhenUnable);
            var all = new Dictionary<Guid, SetPolicy>(_set);
            if (after == new SetPolicy())
            {
                _ = all.Remove(uuid);
            }
            else
            {
                all[uuid] = after;
            }

            DurableFile.Replace(
                _path, stream => JsonSerializer.Serialize(stream, all, PolicyJson.Default.DictionaryGuidSetPolicy));
            _set = all;
        }
    }
}

/// <summary>What was set of a domain; null for what was not.</summary>
internal sealed record SetPolicy(
    bool? Include = null, bool? MemoryOnly = null, TimeSpan? SuspendTimeout = null, UnableRule? WhenUnable = null);

/// <summary>Serialisers made at build time.</summary>
[JsonSourceGenerationOptions(WriteIndented = true, UseStringEnumConverter = true)]
[JsonSerializable(typeof(Dictionary<Guid, SetPolicy>))]
internal sealed partial class PolicyJson : JsonSerializerContext;
