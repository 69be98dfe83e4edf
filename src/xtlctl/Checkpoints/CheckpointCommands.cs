using System.CommandLine;
using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;

namespace XenTwoLevelCkpt.Control.Checkpoints;

/// <summary>The command lines of all commands that have to do with checkpoints.</summary>
internal sealed class CheckpointCommands
{
    private readonly Func<IHypervisor> _openHypervisor;
    private readonly TextWriter _output;
    private readonly TextWriter _error;
    private readonly Option<string> _store = new("--store")
    {
        Description = "The directory that keeps the checkpoints.",
        HelpName = "DIR",
        DefaultValueFactory = _ => Places.DefaultStore,
        Recursive = true,
    };

    private readonly Option<string> _state;
    private readonly Option<bool> _json;
    private readonly Option<string> _label = new("--label") { Description = "A label for the checkpoint.", HelpName = "TEXT" };
    private readonly Option<string[]> _domains = new("--domain")
    {
        Description = "Only this domain; may be given several times.",
        HelpName = "NAME",
    };

    private readonly Option<bool> _memoryOnly = new("--memory-only")
    {
        Description = "Leave out disks that cannot be checkpointed.",
    };

    private readonly Option<bool> _requireAll = new("--require-all")
    {
        Description = "Fail where a domain cannot be saved, instead of leaving it out by name.",
    };

    private readonly Option<int?> _cache = new("--cache-entries")
    {
        Description = "Entries of a domain's dirty-page cache; 0 copies all dirty pages while domains are suspended.",
        HelpName = "N",
    };

    private readonly Option<TimeSpan> _pause = Duration("--allowed-pause", "How long copying may stop the domains.", 0.05);
    private readonly Option<TimeSpan> _timeout =
        Duration("--suspend-timeout", "How long a domain has to suspend itself.", 30);

    private readonly Option<long?> _bandwidth = new("--bandwidth")
    {
        Description = "Bytes a second that are written while domains run.",
        HelpName = "BYTES",
    };

    private readonly Option<double> _share = new("--background-share")
    {
        Description = "The share of the time in which memory is copied while domains run, 0.01 to 1; 1 for no limit.",
        HelpName = "SHARE",
        DefaultValueFactory = _ => 0.25,
        Validators =
        {
            static r =>
            {
                if (r.GetValueOrDefault<double>() is not (>= 0.01 and <= 1))
                {
                    r.AddError("'--background-share' is a number from 0.01 to 1.");
                }
            },
        },
    };

    private readonly Option<int> _staging = new("--staging")
    {
        Description = "MiB set aside for pages that are copied while domains are suspended.",
        HelpName = "MIB",
        DefaultValueFactory = _ => 64,
    };

    private readonly DaemonLink _link;

    internal CheckpointCommands(
        Func<IHypervisor> openHypervisor, DaemonLink link, Option<string> state, Option<bool> json, TextWriter output,
        TextWriter error)
    {
        _link = link;
        _state = state;
        _openHypervisor = openHypervisor;
        _json = json;
        _output = output;
        _error = error;
    }

    /// <summary>Finds the disks of domains; set by the program.</summary>
    internal Func<IHypervisor, ICheckpointStore, Places, IDiskProvider> Disks { get; init; } = (_, _, _) => new NoDisks();

    /// <summary>Puts disks back; set by the program.</summary>
    internal Func<ICheckpointStore, Places, IDiskRestorer?> DiskRestorer { get; init; } = (_, _) => null;

    /// <summary>Adds the commands.</summary>
    internal void AddTo(RootCommand root)
    {
        root.Options.Add(_store);
        _link.AddTo(root, _store, _state);
        root.Subcommands.Add(Checkpoint());
        root.Subcommands.Add(Watch());
        root.Subcommands.Add(List());
        root.Subcommands.Add(Show());
        root.Subcommands.Add(Verify());
        root.Subcommands.Add(Restore());
        root.Subcommands.Add(Export());
        root.Subcommands.Add(Fold());
        root.Subcommands.Add(Prune());
        root.Subcommands.Add(Guard());
    }

    private static Option<TimeSpan> Duration(string name, string description, double seconds) => new(name)
    {
        Description = description,
        HelpName = "5s",
        CustomParser = Arguments.Duration,
        DefaultValueFactory = _ => TimeSpan.FromSeconds(seconds),
    };

    private static Argument<string> CheckpointArgument() => new("CHECKPOINT")
    {
        Description = "'latest', an epoch, a label, or the beginning of an identity.",
    };

    private Places PlacesOf(ParseResult r) => new(r.GetRequiredValue(_store), r.GetRequiredValue(_state));

    private Command Checkpoint()
    {
        var command = new Command(
            "checkpoint",
            "Take a checkpoint of all domains together: their memory is copied while they run, and they are suspended "
            + "for the rest only.");
        AddTaking(command);
        command.SetAction((r, cancellation) => _link.Open(r, reads: false) is { } daemon
            ? TakeByDaemonAsync(daemon, r, cancellation)
            : Take().RunAsync(Options(r), cancellation));
        return command;
    }

    private Command Watch()
    {
        Option<TimeSpan> every = Duration("--every", "Time from one checkpoint to the next.", 10);
        var count = new Option<int>("--count") { Description = "How many checkpoints; 0 for no end.", HelpName = "N" };
        var keep = new Option<int>("--keep")
        {
            Description = "How many checkpoints are kept.",
            HelpName = "N",
            DefaultValueFactory = _ => new RetentionPolicy().KeepCount,
        };
        var chain = new Option<int>("--max-increments")
        {
            Description = "How many increments a restore reads at most; longer chains are shortened, whatever it costs.",
            HelpName = "N",
            DefaultValueFactory = _ => new RetentionPolicy().MaxIncrements,
        };
        var command = new Command(
            "watch",
            "Take a checkpoint every so often until interrupted. Between them pages are saved in the background, so that "
            + "each suspension is short and each checkpoint holds only what changed.")
        {
            every, count, keep, chain,
        };
        AddTaking(command);
        command.SetAction((r, cancellation) => Take().RunAsync(
            Options(r) with
            {
                Every = r.GetValue(every),
                Count = r.GetValue(count),
                Retention = new RetentionPolicy { KeepCount = r.GetValue(keep), MaxIncrements = r.GetValue(chain) },
            },
            cancellation));
        return command;
    }

    private void AddTaking(Command command)
    {
        command.Validators.Add(r =>
        {
            if (CheckpointClosing.LabelProblem(r.GetValue(_label) ?? "") is { } problem)
            {
                r.AddError(problem);
            }
        });
        foreach (Option option in new Option[]
        {
            _label, _domains, _memoryOnly, _requireAll, _cache, _pause, _timeout, _bandwidth, _share, _staging, _json,
        })
        {
            command.Options.Add(option);
        }
    }

    // What is the daemon's to decide cannot be different for one checkpoint.
    private async Task<int> TakeByDaemonAsync(DaemonClient daemon, ParseResult r, CancellationToken cancellation)
    {
        foreach (Option option in new Option[] { _requireAll, _cache, _pause, _bandwidth, _share, _staging })
        {
            if (r.GetResult(option) is { Implicit: false })
            {
                daemon.Dispose();
                await _error.WriteLineAsync(
                    $"xtlctl: '{option.Name}' is a setting of the daemon: set it in its configuration, or stop the daemon and "
                    + "give '--direct'.").ConfigureAwait(false);
                return ExitCodes.Usage;
            }
        }

        return await new DaemonCommands(daemon, _output).CheckpointAsync(
            Options(r), r.GetResult(_timeout) is { Implicit: false } ? r.GetValue(_timeout) : null, cancellation)
            .ConfigureAwait(false);
    }

    private TakeCommand Take() => new(_openHypervisor, Disks, _output, _error);

    private TakeOptions Options(ParseResult r) => new()
    {
        Places = PlacesOf(r),
        Label = r.GetValue(_label) ?? "",
        Domains = r.GetValue(_domains) ?? [],
        MemoryOnly = r.GetValue(_memoryOnly),
        RequireAll = r.GetValue(_requireAll),
        Json = r.GetValue(_json),
        CacheEntries = r.GetValue(_cache),
        AllowedPause = r.GetValue(_pause),
        SuspendTimeout = r.GetValue(_timeout),
        Bandwidth = r.GetValue(_bandwidth),
        BackgroundShare = r.GetValue(_share),
        StagingMiB = r.GetValue(_staging),
    };

    private Command List()
    {
        var command = new Command("checkpoints", "List the checkpoints of the store.") { _json };
        command.SetAction((r, cancellation) => _link.Open(r, reads: true) is { } daemon
            ? new DaemonCommands(daemon, _output).ListAsync(r.GetValue(_json), cancellation)
            : Task.FromResult(new ShowCommand(_output).List(PlacesOf(r), r.GetValue(_json))));
        return command;
    }

    private Command Show()
    {
        Argument<string> checkpoint = CheckpointArgument();
        var command = new Command("show", "Show a checkpoint: phases, pages by what became of them, images.")
        {
            checkpoint, _json,
        };
        command.SetAction((r, cancellation) => _link.Open(r, reads: true) is { } daemon
            ? new DaemonCommands(daemon, _output).ShowAsync(r.GetRequiredValue(checkpoint), r.GetValue(_json), cancellation)
            : Task.FromResult(new ShowCommand(_output).Show(
                PlacesOf(r), r.GetRequiredValue(checkpoint), r.GetValue(_json))));
        return command;
    }

    private Command Verify()
    {
        Argument<string?> checkpoint = new("CHECKPOINT")
        {
            Description = "What to check; the whole store where it is left out.",
            Arity = ArgumentArity.ZeroOrOne,
        };
        var command = new Command("verify", "Check every byte of checkpoints. Needs no Xen.") { checkpoint, _json };
        command.SetAction((r, cancellation) => _link.Open(r, reads: true) is { } daemon
            ? new DaemonCommands(daemon, _output).VerifyAsync(r.GetValue(checkpoint), r.GetValue(_json), cancellation)
            : Task.FromResult(new ShowCommand(_output).Verify(PlacesOf(r), r.GetValue(checkpoint), r.GetValue(_json))));
        return command;
    }

    private Command Restore()
    {
        Argument<string> checkpoint = CheckpointArgument();
        Option<string?> name = NewName();
        var disksOnly = new Option<bool>("--disks-only")
        {
            Description = "Put back the disks alone, for domains that 'xl restore' brings back.",
        };
        var command = new Command(
            "restore", "Bring domains back as a checkpoint has them. All of them run together, or none is there.")
        {
            checkpoint, _domains, name, disksOnly, _json,
        };
        command.Validators.Add(r =>
        {
            if (r.GetValue(disksOnly) && r.GetValue(name) is not null)
            {
                r.AddError("'--as' names a domain that is restored; '--disks-only' restores none.");
            }
        });
        command.SetAction((r, cancellation) => _link.Open(r, reads: false) is { } daemon
            ? new DaemonCommands(daemon, _output).RestoreAsync(
                r.GetRequiredValue(checkpoint), r.GetValue(_domains) ?? [], r.GetValue(name), r.GetValue(disksOnly),
                r.GetValue(_json), cancellation)
            : r.GetValue(disksOnly)
            ? Task.FromResult(Restorer().RestoreDisks(
                PlacesOf(r), r.GetRequiredValue(checkpoint), r.GetValue(_domains) ?? [], r.GetValue(_json)))
            : Restorer().RestoreAsync(
                PlacesOf(r), r.GetRequiredValue(checkpoint), r.GetValue(_domains) ?? [], r.GetValue(name),
                r.GetValue(_json), cancellation));
        return command;
    }

    private Command Export()
    {
        Argument<string> checkpoint = CheckpointArgument();
        var domain = new Argument<string>("DOMAIN") { Description = "Name or UUID of a domain of the checkpoint." };
        var file = new Option<string>("--xl")
        {
            Description = "The file to write, for 'xl restore'.",
            HelpName = "FILE",
            Required = true,
        };
        Option<string?> name = NewName();
        var command = new Command(
            "export", "Write a domain as a file that the stock 'xl restore' reads. Needs no Xen.")
        {
            checkpoint, domain, file, name,
        };
        command.SetAction(r => Restorer().Export(
            PlacesOf(r), r.GetRequiredValue(checkpoint), r.GetRequiredValue(domain), r.GetRequiredValue(file),
            r.GetValue(name)));
        return command;
    }

    private static Option<string?> NewName() => new("--as")
    {
        Description = "Another name for the one domain, which also gets a new UUID.",
        HelpName = "NAME",
    };

    private RestoreCommand Restorer() => new(_openHypervisor, DiskRestorer, _output);

    private Command Fold()
    {
        Argument<string?> checkpoint = new("CHECKPOINT")
        {
            Description = "Which checkpoint becomes a full one; the newest where it is left out.",
            Arity = ArgumentArity.ZeroOrOne,
        };
        var command = new Command("fold", "Turn a checkpoint's increments into full images of the same state.")
        {
            checkpoint, _json,
        };
        command.SetAction(r => Restorer().Fold(PlacesOf(r), r.GetValue(checkpoint), r.GetValue(_json)));
        return command;
    }

    private Command Prune()
    {
        var keep = new Option<int>("--keep")
        {
            Description = "How many of the newest checkpoints are kept.",
            HelpName = "N",
            DefaultValueFactory = _ => new RetentionPolicy().KeepCount,
        };
        var age = new Option<TimeSpan?>("--keep-for")
        {
            Description = "Remove checkpoints that are older than this, however few there are.",
            HelpName = "24h",
            CustomParser = r => Arguments.Duration(r),
        };
        var command = new Command("prune", "Remove old checkpoints; what builds upon them is folded before.")
        {
            keep, age, _json,
        };
        command.SetAction(r => Restorer().Prune(
            PlacesOf(r),
            new RetentionPolicy { KeepCount = r.GetValue(keep), KeepFor = r.GetValue(age), MinGain = 0, LeavesRoom = false },
            r.GetValue(_json)));
        return command;
    }

    private Command Guard()
    {
        var command = new Command(Guardian.Command, "Started by this program for itself.") { Hidden = true };
        command.SetAction(r => Guardian.Guard(
            r.GetRequiredValue(_state), _openHypervisor, Console.In, m => _error.WriteLine($"xtlctl: {m}")));
        return command;
    }
}
