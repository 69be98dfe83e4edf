using System.Diagnostics;
using System.Security.Cryptography;
using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Checkpointing.Disks.Directories;
using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Checkpointing.Restore;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Hypervisor.Xen;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.NativeInterop.Devices;

namespace XenTwoLevelCkpt.Dom0Tests.Disks;

/// <summary>A guest that writes into a directory over Xen's 9pfs without a pause (lab/guest/scribe.c): it ends with BROKEN
/// where its memory and the directory are not of one moment.</summary>
public sealed class GuestDirectoryTests : IDisposable
{
    private readonly string _name = $"d{RandomNumberGenerator.GetInt32(1_000_000_000)}";
    private readonly string _folder;
    private readonly GuestConsole _console;
    private readonly DiskRegistry _registry;
    private readonly DirectoryStore _store;
    private readonly OverlayDirectories _directories;

    public GuestDirectoryTests()
    {
        // Not in /tmp, which is memory.
        _folder = $"/var/tmp/xtl-{_name}";
        _console = new GuestConsole(_name);
        _ = Directory.CreateDirectory(_folder);
        _registry = new DiskRegistry($"{_folder}/state");
        _store = DirectoryStore.Open($"{_folder}/store");
        _directories = new OverlayDirectories(_registry);
    }

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        if (_registry.Read().Directories.Count > 0)
        {
            _ = _directories.RemoveKept(_name);
            _directories.Remove(_name);
        }

        _store.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public async Task A_restored_guest_finds_its_directory_as_its_memory_remembers_it()
    {
        DirectoryRecord directory = _directories.Create(_name, $"{_folder}/{_name}");
        using XenHypervisor hypervisor = XenHypervisor.Open();
        Guid uuid = Create(directory.Path);
        try
        {
            await _console.StepsAsync(4);
            var reports = new List<CheckpointReport>();
            await using (NodeCheckpointer checkpointer = Checkpointer(hypervisor, uuid))
            {
                for (ulong i = 1; i <= 4; i++)
                {
                    reports.Add(await checkpointer.CheckpointAsync(i, cancellationToken: Token));

                    // Resumed in place, the mount lives on, and the open file with it.
                    await _console.StepsAsync(_console.LastStep + 2);
                }
            }

            Assert.DoesNotContain("remounted", _console.Text(0), StringComparison.Ordinal);
            Assert.Equal(
                [ImageKind.Full, ImageKind.Increment, ImageKind.Increment, ImageKind.Increment],
                reports.Select(r => _store.Checkpoints.Single(m => m.Id == r.Id).Find(uuid, ImageContent.Directory, "share")!.Kind));
            TestContext.Current.TestOutputHelper!.WriteLine(
                "T_d " + string.Join(", ", reports.Select(r => $"{r.Phases.Disks.TotalMilliseconds:F1} ms")));

            // Forth and back.
            foreach (int i in new[] { 3, 0, 2, 1 })
            {
                Run("xl", "destroy", _name);
                CheckpointManifest manifest = _store.Checkpoints.Single(m => m.Id == reports[i].Id);
                long before = _console.Length;
                using (IDomain restored = Assert.Single(new Restorer(_store).Restore(
                    hypervisor, manifest, disks: new XenDiskRestorer(NoMapper, _registry, _store), cancellationToken: Token)))
                {
                    await _console.WaitAsync(() => _console.Text(before).Contains("verified at step", StringComparison.Ordinal), before);
                    await _console.StepsAsync(2, before);
                }

                Assert.Contains("remounted at step", _console.Text(before), StringComparison.Ordinal);
            }

            Assert.Equal(4, _registry.Read().Directory(_name).Kept.Count);
        }
        finally
        {
            Run("xl", "destroy", _name);
        }
    }

    [Fact]
    public async Task A_guest_with_another_directory_is_refused_unless_memory_only()
    {
        DirectoryRecord directory = _directories.Create(_name, $"{_folder}/{_name}");
        string other = $"{_folder}/other";
        _ = Directory.CreateDirectory(other);
        using XenHypervisor hypervisor = XenHypervisor.Open();
        Guid uuid = Create(directory.Path, $", \"tag=other,path={other},security_model=none\"");
        try
        {
            await _console.StepsAsync(1);
            await using (NodeCheckpointer checkpointer = Checkpointer(hypervisor, uuid))
            {
                CheckpointFailedException e = await Assert.ThrowsAsync<CheckpointFailedException>(
                    () => checkpointer.CheckpointAsync(1, cancellationToken: Token));
                Assert.Contains($"other (9pfs, {other})", e.Message, StringComparison.Ordinal);
            }

            await _console.StepsAsync(_console.LastStep + 1);
            await using (NodeCheckpointer checkpointer = Checkpointer(hypervisor, uuid, memoryOnly: true))
            {
                CheckpointReport report = await checkpointer.CheckpointAsync(1, cancellationToken: Token);
                Assert.Equal(["share"], _store.Checkpoints.Single(m => m.Id == report.Id).Domains[0].Parts
                    .Where(p => p.Content == ImageContent.Directory).Select(p => p.Name));
            }

            await _console.StepsAsync(_console.LastStep + 1);
        }
        finally
        {
            Run("xl", "destroy", _name);
        }
    }

    private static DeviceMapper NoMapper() => throw new InvalidOperationException("There is no volume.");

    private NodeCheckpointer Checkpointer(XenHypervisor hypervisor, Guid uuid, bool memoryOnly = false) => new(
        hypervisor, _store, new XenDiskProvider(NoMapper, _registry), new NodeOptions
        {
            StateDirectory = $"{_folder}/state",
            Domains = [uuid],
            SuspendTimeout = TimeSpan.FromMinutes(5),
            MemoryOnly = memoryOnly,
        });

    private Guid Create(string path, string more = "")
    {
        const string Lab = "/var/lib/xtl-lab";
        string file = $"{_folder}/guest.cfg";

        // Linux's frontend needs two pieces of 2 MiB, and again after a restore: with 96 MiB it finds none.
        File.WriteAllText(file, $"""
            name = "{_name}"
            type = "pvh"
            kernel = "{Lab}/guest/vmlinuz"
            ramdisk = "{Lab}/guest/initrd"
            memory = 192
            vcpus = 1
            p9 = ["tag=share,path={path},security_model=none"{more}]
            extra = "console=hvc0 loglevel=2 panic=5 sysrq_always_enabled xtl.app=scribe"
            tsc_mode = "native"
            on_crash = "preserve"
            on_reboot = "destroy"
            """);
        Run("xl", "create", "-q", file);
        using XenHypervisor hypervisor = XenHypervisor.Open();
        return hypervisor.FindDomain(_name).Uuid;
    }

    private static void Run(string program, params string[] arguments)
    {
        // No pipes: what xl starts for a guest would keep them open.
        using Process process = Process.Start(program, arguments);
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, $"{program} {string.Join(' ', arguments)}: exit code {process.ExitCode}");
    }
}
