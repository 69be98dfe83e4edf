using System.CommandLine;
using System.Text.Json;
using XenTwoLevelCkpt.Checkpointing.Disks;
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
        return new Command("disk", "Disks on dm-thin volumes, which checkpoints can hold.")
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
        runner.Set(create, (volumes, result, output) =>
        {
            PoolRecord pool = volumes.CreatePool(
                result.GetRequiredValue(name), result.GetRequiredValue(data), result.GetRequiredValue(metadata),
                result.GetResult(size) is null ? null : result.GetValue(size),
                result.GetResult(block) is null ? 65536 : (int)Math.Min(int.MaxValue, result.GetValue(block)));
            output.WriteLine(pool.Name);
        });
        var remove = new Command("remove", "Take a pool without volumes off this host; its devices stay as they are.")
        {
            name,
        };
        runner.Set(remove, (volumes, result, _) => volumes.RemovePool(result.GetRequiredValue(name)));
        return new Command("pool", "Thin pools, which volumes are made in.") { create, remove };
    }

    private static Command Create(Runner runner)
    {
        Argument<string> name = NameArgument();
        Option<string?> pool = PoolOption();
        Option<long> size = SizeOption("--size", "The volume's length.");
        size.Required = true;
        var command = new Command("create", "Make a volume of zeros, and print its device.") { name, pool, size };
        runner.Set(command, (volumes, result, output) => output.WriteLine(volumes.Create(
            result.GetRequiredValue(name), result.GetValue(pool), result.GetValue(size)).Path));
        return command;
    }

    private static Command Adopt(Runner runner)
    {
        Argument<string> name = NameArgument();
        Option<string?> pool = PoolOption();
        var from = new Option<string>("--from")
        {
            Description = "A block device, or a file with a raw image; its domain has to be off.",
            HelpName = "PATH",
            Required = true,
        };
        var command = new Command(
            "adopt", "Make a volume with the contents of a disk, and print its device. The disk stays as it is.")
        {
            name, from, pool,
        };
        runner.Set(command, (volumes, result, output) => output.WriteLine(volumes.Adopt(
            result.GetRequiredValue(name), result.GetValue(pool), result.GetRequiredValue(from)).Path));
        return command;
    }

    private static Command List(Runner runner)
    {
        var json = new Option<bool>("--json") { Description = "Print JSON." };
        var command = new Command("list", "List pools, volumes, and what restores kept of them.") { json };
        runner.SetList(command, (list, result, output) =>
        {
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
        var kept = new Option<bool>("--kept") { Description = "Only what restores kept of the volume." };
        var command = new Command("remove", "Remove a volume with what it holds, or what restores kept of it.")
        {
            name, kept,
        };
        runner.Set(command, (volumes, result, output) =>
        {
            string volume = result.GetRequiredValue(name);
            if (result.GetValue(kept))
            {
                output.WriteLine($"{volumes.RemoveKept(volume)} kept state(s) of {volume} dropped");
            }
            else
            {
                volumes.Remove(volume);
            }
        });
        return command;
    }

    private static Command Revert(Runner runner)
    {
        Argument<string> name = NameArgument();
        var command = new Command(
            "revert", "Give a volume back what it was before its last restore; what it is now is dropped.") { name };
        runner.Set(command, (volumes, result, _) => volumes.TakeBack(result.GetRequiredValue(name)));
        return command;
    }

    private static Command Activate(Runner runner)
    {
        var command = new Command("activate", "Activate all pools and volumes, for instance after the host was booted.");
        runner.Set(command, (volumes, _, _) =>
        {
            if (volumes.ActivateAll() is { Count: > 0 } problems)
            {
                throw new DiskException(string.Join(Environment.NewLine, problems));
            }
        });
        return command;
    }

    private static Argument<string> NameArgument() => new("NAME") { Description = "The volume's name." };

    private static Option<string?> PoolOption() => new("--pool")
    {
        Description = "The pool, where there are several.",
        HelpName = "POOL",
    };

    private static Option<long> SizeOption(string name, string description) => new(name)
    {
        Description = description,
        HelpName = "64M",
        CustomParser = Sizes.Parse,
    };

    private sealed class Runner(Option<string> state, TextWriter output, TextWriter error)
    {
        internal void Set(Command command, Action<ThinVolumes, ParseResult, TextWriter> action) =>
            command.SetAction(result => Run(() =>
            {
                using DeviceMapper mapper = DeviceMapper.Open();
                action(new ThinVolumes(mapper, new DiskRegistry(result.GetRequiredValue(state))), result, output);
            }));

        internal void SetList(Command command, Action<DiskList, ParseResult, TextWriter> action) =>
            command.SetAction(result => Run(() =>
            {
                using DeviceMapper mapper = DeviceMapper.Open();
                action(new DiskList(mapper, new DiskRegistry(result.GetRequiredValue(state))), result, output);
            }));

        private int Run(Action action)
        {
            try
            {
                action();
                return ExitCodes.Ok;
            }
            catch (Exception e) when (e is HypervisorException or IOException or UnauthorizedAccessException)
            {
                error.WriteLine($"xtlctl: {e.Message}");
                return ExitCodes.Failure;
            }
        }
    }
}
