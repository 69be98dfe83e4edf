using System.CommandLine;
using System.Text.Json;
using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Checkpointing.Disks.Directories;
using XenTwoLevelCkpt.Checkpointing.Disks.Thin;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.NativeInterop.Devices;

namespace XenTwoLevelCkpt.Control;

/// <summary><c>xtlctl disk</c>: disks whose states checkpoints can hold.</summary>
internal static class DiskCommand
{
    /// <summary>Makes the command.</summary>
    /// <param name="state">The option that names the state directory.</param>
    /// <param name="output">Receives results.</param>
    /// <param name="error">Receives messages.</param>
    internal static Command Make(Option<string> state, TextWriter output, TextWriter error)
    {
        var runner = new Runner(state, output, error);
        return new Command("disk", "Disks on dm-thin volumes and directories on overlayfs, which checkpoints can hold.")
        {
            PoolCommand(runner), Create(runner), Adopt(runner), List(runner), Remove(runner), Revert(runner),
            Activate(runner),
        };
    }

    private static Command PoolCommand(Runner runner)
    {
        var name = new Argument<string>("POOL") { Description = "The pool's name." };
        var data = new Option<string>("--data")
        {
            Description = "Block device or file for the data.",
            HelpName = "PATH",
            Required = true,
        };
        var metadata = new Option<string>("--metadata")
        {
            Description = "Block device or file for the metadata.",
            HelpName = "PATH",
            Required = true,
        };
        Option<long> size = SizeOption("--size", "Make files that are missing: so much data, and metadata to go with it.");
        Option<long> block = SizeOption("--block", "The pool's block, a multiple of 64K (default 64K).");
        var create = new Command("create", "Make a pool; both devices have to begin with zeros.")
        {
            name, data, metadata, size, block,
        };
        runner.Set(create, (disks, result, output) =>
        {
            PoolRecord pool = disks.Volumes.CreatePool(
                result.GetRequiredValue(name), result.GetRequiredValue(data), result.GetRequiredValue(metadata),
                result.GetResult(size) is null ? null : result.GetValue(size),
                result.GetResult(block) is null ? 65536 : (int)Math.Min(int.MaxValue, result.GetValue(block)));
            output.WriteLine(pool.Name);
        });
        var remove = new Command("remove", "Take a pool without volumes off this host; its devices stay as they are.")
        {
            name,
        };
        runner.Set(remove, (disks, result, _) => disks.Volumes.RemovePool(result.GetRequiredValue(name)));
        return new Command("pool", "Thin pools, which volumes are made in.") { create, remove };
    }

    private static Command Create(Runner runner)
    {
        Argument<string> name = NameArgument();
        Option<string?> pool = PoolOption();
        Option<long> size = SizeOption("--size", "The volume's length.");
        Option<bool> directory = DirectoryOption();
        Option<string?> at = AtOption();
        var command = new Command(
            "create", "Make a volume of zeros or an empty directory, and print its device or path.")
        {
            name, pool, size, directory, at,
        };
        Exclude(command, directory, at, pool, size);
        command.Validators.Add(result =>
        {
            if (!result.GetValue(directory) && result.GetResult(size) is null)
            {
                result.AddError("A volume needs '--size'; '--directory' makes a directory.");
            }
        });
        runner.Set(command, (disks, result, output) => output.WriteLine(
            result.GetValue(directory)
                ? disks.Directories.Create(result.GetRequiredValue(name), result.GetValue(at)).Path
                : disks.Volumes.Create(
                    result.GetRequiredValue(name), result.GetValue(pool), result.GetValue(size)).Path));
        return command;
    }

    private static Command Adopt(Runner runner)
    {
        Argument<string> name = NameArgument();
        Option<string?> pool = PoolOption();
        Option<bool> directory = DirectoryOption();
        Option<string?> at = AtOption();
        var from = new Option<string>("--from")
        {
            Description = "A block device, a file with a raw image, or a directory; its domain has to be off.",
            HelpName = "PATH",
            Required = true,
        };
        var command = new Command(
            "adopt",
            "Make a volume or directory with the contents of another one, and print its device or path. The other one stays "
            + "as it is.")
        {
            name, from, pool, directory, at,
        };
        Exclude(command, directory, at, pool);
        runner.Set(command, (disks, result, output) => output.WriteLine(
            result.GetValue(directory)
                ? disks.Directories.Adopt(
                    result.GetRequiredValue(name), result.GetValue(at), result.GetRequiredValue(from)).Path
                : disks.Volumes.Adopt(
                    result.GetRequiredValue(name), result.GetValue(pool), result.GetRequiredValue(from)).Path));
        return command;
    }

    private static Command List(Runner runner)
    {
        var json = new Option<bool>("--json") { Description = "Print JSON." };
        var command = new Command("list", "List pools, volumes, directories, and what restores kept of them.") { json };
        runner.Set(command, (disks, result, output) =>
        {
            DiskList list = disks.List();
            if (result.GetValue(json))
            {
                output.WriteLine(JsonSerializer.Serialize(list.Describe(), DiskJsonContext.Default.DisksJson));
            }
            else
            {
                list.Print(output);
            }
        });
        return command;
    }

    private static Command Remove(Runner runner)
    {
        Argument<string> name = NameArgument();
        var kept = new Option<bool>("--kept") { Description = "Only what restores kept of it." };
        var command = new Command(
            "remove", "Remove a volume or directory with what it holds, or what restores kept of it.")
        {
            name, kept,
        };
        runner.Set(command, (disks, result, output) =>
        {
            string disk = result.GetRequiredValue(name);
            bool directory = disks.IsDirectory(disk);
            if (result.GetValue(kept))
            {
                int count = directory ? disks.Directories.RemoveKept(disk) : disks.Volumes.RemoveKept(disk);
                output.WriteLine($"{count} kept state(s) of {disk} dropped");
            }
            else if (directory)
            {
                disks.Directories.Remove(disk);
            }
            else
            {
                disks.Volumes.Remove(disk);
            }
        });
        return command;
    }

    private static Command Revert(Runner runner)
    {
        Argument<string> name = NameArgument();
        var command = new Command(
            "revert",
            "Give a volume or directory back what it was before its last restore; what it is now is dropped.") { name };
        runner.Set(command, (disks, result, _) =>
        {
            string disk = result.GetRequiredValue(name);
            if (disks.IsDirectory(disk))
            {
                disks.Directories.TakeBack(disk);
            }
            else
            {
                disks.Volumes.TakeBack(disk);
            }
        });
        return command;
    }

    private static Command Activate(Runner runner)
    {
        var command = new Command(
            "activate", "Activate all pools, volumes and directories, for instance after the host was booted.");
        runner.Set(command, (disks, _, _) =>
        {
            // A host without volumes needs no device-mapper.
            DiskState state = disks.Registry.Read();
            List<string> problems =
            [
                .. state.Pools.Count > 0 ? disks.Volumes.ActivateAll() : [],
                .. state.Directories.Count > 0 ? disks.Directories.ActivateAll() : [],
            ];
            if (problems.Count > 0)
            {
                throw new DiskException(string.Join(Environment.NewLine, problems));
            }
        });
        return command;
    }

    private static void Exclude(Command command, Option<bool> directory, Option at, params Option[] ofVolumes) =>
        command.Validators.Add(result =>
        {
            if (result.GetValue(directory) && ofVolumes.FirstOrDefault(o => result.GetResult(o) is not null) is { } option)
            {
                result.AddError($"'{option.Name}' is for volumes, not with '--directory'.");
            }

            if (!result.GetValue(directory) && result.GetResult(at) is not null)
            {
                result.AddError("'--at' is for directories: it goes with '--directory'.");
            }
        });

    private static Option<bool> DirectoryOption() => new("--directory")
    {
        Description = "A directory that a guest mounts by 9pfs.",
    };

    private static Option<string?> AtOption() => new("--at")
    {
        Description = $"The directory's folder, missing or empty (default {OverlayDirectories.DefaultPlace}/NAME).",
        HelpName = "PATH",
    };

    private static Argument<string> NameArgument() => new("NAME") { Description = "The volume's or directory's name." };

    private static Option<string?> PoolOption() => new("--pool")
    {
        Description = "The pool, where there are several.",
        HelpName = "POOL",
    };

    private static Option<long> SizeOption(string name, string description) => new(name)
    {
        Description = description,
        HelpName = "64M",
        CustomParser = Arguments.Size,
    };

    /// <summary>The disks of a host. Device-mapper is opened when volumes are needed.</summary>
    private sealed class HostDisks(DiskRegistry registry) : IDisposable
    {
        private DeviceMapper? _mapper;

        internal DiskRegistry Registry => registry;

        internal ThinVolumes Volumes => new(_mapper ??= DeviceMapper.Open(), registry);

        internal OverlayDirectories Directories => new(registry);

        public void Dispose() => _mapper?.Dispose();

        internal bool IsDirectory(string name) => registry.Read().Directories.Any(d => d.Name == name);

        internal DiskList List()
        {
            if (registry.Read() is { Pools.Count: > 0 } or { Volumes.Count: > 0 })
            {
                _mapper ??= DeviceMapper.Open();
            }

            return new DiskList(_mapper, registry);
        }
    }

    private sealed class Runner(Option<string> state, TextWriter output, TextWriter error)
    {
        internal void Set(Command command, Action<HostDisks, ParseResult, TextWriter> action) =>
            command.SetAction(result =>
            {
                try
                {
                    using var disks = new HostDisks(new DiskRegistry(result.GetRequiredValue(state)));
                    action(disks, result, output);
                    return ExitCodes.Ok;
                }
                catch (Exception e) when (e is HypervisorException or IOException or UnauthorizedAccessException)
                {
                    error.WriteLine($"xtlctl: {e.Message}");
                    return ExitCodes.Failure;
                }
            });
    }
}
