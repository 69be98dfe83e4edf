using System.Text.Json;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.NativeInterop.Files;
using XenTwoLevelCkpt.NativeInterop.Processes;

namespace XenTwoLevelCkpt.Checkpointing.Node;

/// <summary>
/// The record of what a node's checkpoints have done to domains and not yet undone: whose dirty logs are on, and which
/// domains may be suspended. On disk before either happens.
/// </summary>
/// <remarks>Whoever writes it or acts on it holds a lock, which ends with the process: two programs that take checkpoints
/// of one host's domains would switch each other's dirty logs off, and two that resume one domain side by side would
/// rewrite the registers of a guest that runs already.</remarks>
public sealed class IntentFile : IDisposable
{
    private const string FileName = "intent.json";
    private const string LockName = "intent.lock";

    /// <summary>Three seconds in all: another program's recovery takes a hypercall or two for each domain.</summary>
    private const int LockAttempts = 30;

    private static readonly TimeSpan LockPause = TimeSpan.FromMilliseconds(100);

    private readonly string _directory;
    private readonly FileStream _lock;
    private readonly Lock _gate = new();
    private Intent _intent = new([], [], []);

    /// <summary>Opens the record for writing, and forgets what it said.</summary>
    /// <param name="directory">The folder; made where it is missing.</param>
    /// <exception cref="StateLockedException">Another process has it open.</exception>
    /// <exception cref="IOException">It cannot be written.</exception>
    public IntentFile(string directory)
    {
        _directory = directory;
        _ = Directory.CreateDirectory(
            directory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        _lock = TakeLock(directory);
        try
        {
            Write();
        }
        catch
        {
            _lock.Dispose();
            throw;
        }
    }

    /// <summary>Says whose dirty logs may be on.</summary>
    /// <param name="domains">UUIDs.</param>
    internal void SetLogs(IEnumerable<Guid> domains) => Set(_intent with { Logs = [.. domains] });

    /// <summary>Says which domains may be suspended, and which of the toolstack's processes may be stopped, from now on.</summary>
    /// <param name="domains">UUIDs.</param>
    /// <param name="monitors">The processes; null for none.</param>
    internal void SetSuspended(IEnumerable<Guid> domains, IReadOnlyList<ProcessIdentity>? monitors = null) =>
        Set(_intent with { Suspended = [.. domains], Monitors = [.. (monitors ?? []).Select(m => new Monitor(m.Id, m.StartTime))] });

    /// <summary>Undoes what a process that ended left behind: resumes domains that it suspended, and switches dirty logs
    /// off that it owned.</summary>
    /// <param name="directory">The folder with the record.</param>
    /// <param name="hypervisor">The hypervisor.</param>
    /// <param name="first">What has to be undone before domains are resumed, such as suspended disks; says what it did.
    /// Called only where a process left a record, and while no other process can be in the middle of a checkpoint.</param>
    /// <param name="waiting">Told what is waited for, before that takes time.</param>
    /// <param name="patience">How long to wait for a guest that may suspend yet; null for
    /// <see cref="PendingSuspensions.Patience"/>.</param>
    /// <returns>What was done, as sentences; empty where there was nothing to do.</returns>
    /// <exception cref="StateLockedException">A process has the record open: it has not ended.</exception>
    public static IReadOnlyList<string> Recover(
        string directory, IHypervisor hypervisor, Func<IReadOnlyList<string>>? first = null,
        Action<string>? waiting = null, TimeSpan? patience = null)
    {
        ArgumentNullException.ThrowIfNull(hypervisor);
        string path = Path.Combine(directory, FileName);
        if (!File.Exists(path))
        {
            return [];
        }

        using FileStream gate = TakeLock(directory);
        if (!File.Exists(path))
        {
            return [];
        }

        // A record that cannot be read was never complete, and nothing happens before it is complete.
        Intent intent;
        try
        {
            intent = JsonSerializer.Deserialize(File.ReadAllBytes(path), NodeJson.Default.Intent) ?? new Intent([], [], []);
        }
        catch (JsonException)
        {
            intent = new Intent([], [], []);
        }

        var done = new List<string>(first?.Invoke() ?? []);
        var pending = new PendingSuspensions(hypervisor, intent.Suspended, done.Add);
        pending.Look();
        foreach (Guid uuid in intent.Logs)
        {
            Attempt(hypervisor, uuid, done.Add, domain =>
            {
                if (domain.StopDirtyLog())
                {
                    done.Add(
                        $"The dirty log of domain {domain.GetInfo().Name ?? $"{uuid}"} was left on and has been "
                        + "switched off.");
                }
            });
        }

        pending.Wait(waiting, patience ?? PendingSuspensions.Patience);

        // Not before: while a guest is suspended they would take that for its end.
        hypervisor.ContinueMonitors([.. (intent.Monitors ?? []).Select(m => new ProcessIdentity(m.Id, m.StartTime))]);
        File.Delete(path);
        return done;
    }

    /// <summary>Lets go of the record. What it names is left to be undone.</summary>
    public void Dispose() => _lock.Dispose();

    /// <summary>Ends the record: nothing is left to undo.</summary>
    internal void Delete()
    {
        lock (_gate)
        {
            File.Delete(Path.Combine(_directory, FileName));
        }
    }

    private static FileStream TakeLock(string directory)
    {
        string path = Path.Combine(directory, LockName);
        for (int attempt = 1; ; attempt++)
        {
            try
            {
                return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException e)
            {
                if (attempt == LockAttempts)
                {
                    throw new StateLockedException(directory, e);
                }

                Thread.Sleep(LockPause);
            }
        }
    }

    /// <summary>Works on a domain that may be gone.</summary>
    internal static void Attempt(IHypervisor hypervisor, Guid uuid, Action<string> say, Action<IDomain> action)
    {
        try
        {
            using IDomain domain = hypervisor.OpenDomain(uuid);
            action(domain);
        }
        catch (DomainNotFoundException)
        {
            // Gone: nothing to undo.
        }
        catch (HypervisorException e)
        {
            say(e.Message);
        }
    }

    private void Set(Intent intent)
    {
        lock (_gate)
        {
            _intent = intent;
            Write();
        }
    }

    private void Write() => DurableFile.Replace(
        Path.Combine(_directory, FileName), stream => JsonSerializer.Serialize(stream, _intent, NodeJson.Default.Intent));
}

/// <summary>Another process takes checkpoints of this host's domains.</summary>
public sealed class StateLockedException : IOException
{
    internal StateLockedException(string directory, Exception inner)
        : base(
            $"Another process takes checkpoints of this host's domains: it has {directory} open. Let it end, or end it.",
            inner)
    {
    }
}

/// <summary>What the record says.</summary>
/// <param name="Logs">Domains whose dirty log may be on.</param>
/// <param name="Suspended">Domains that may be suspended.</param>
/// <param name="Monitors">Processes of the toolstack that may be stopped; null in a record of before they were.</param>
internal sealed record Intent(
    IReadOnlyList<Guid> Logs, IReadOnlyList<Guid> Suspended, IReadOnlyList<Monitor>? Monitors = null);

/// <summary>A process of the toolstack.</summary>
/// <param name="Id">Its number.</param>
/// <param name="StartTime">When it started, in clock ticks since the boot.</param>
internal sealed record Monitor(int Id, ulong StartTime);
