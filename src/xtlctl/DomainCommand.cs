using System.CommandLine;
using Google.Protobuf.WellKnownTypes;
using XenTwoLevelCkpt.Checkpointing.Settings;
using V1 = XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Control;

/// <summary><c>xtlctl domain set</c>: what differs for one domain from the node's settings.</summary>
internal static class DomainCommand
{
    internal static Command Make(DaemonLink link, Option<bool> json, TextWriter output, TextWriter error)
    {
        var name = new Argument<string>("DOMAIN") { Description = "The domain's name or UUID." };
        var include = new Option<bool>("--include") { Description = "Let it take part in checkpoints." };
        var exclude = new Option<bool>("--exclude") { Description = "Leave it out of checkpoints." };
        var memoryOnly = new Option<bool?>("--memory-only")
        {
            Description = "Leave out its disks and devices that cannot be saved, or not ('--memory-only false').",
            HelpName = "BOOL",
            Arity = ArgumentArity.ZeroOrOne,
        };
        var timeout = new Option<string>("--suspend-timeout")
        {
            Description = "How long it has to suspend itself, such as 45s.",
            HelpName = "TIME",
        };
        Option<string> whenUnable = new Option<string>("--when-unable")
        {
            Description = "What becomes of a checkpoint that it cannot be part of: 'fail', or 'skip' to leave it out by name.",
            HelpName = "RULE",
        }.AcceptOnlyFromAmong("fail", "skip");
        var reset = new Option<bool>("--reset") { Description = "Forget what was set before, first." };
        var set = new Command(
            "set", "Set what differs for one domain from the node's settings, from the next checkpoint on. The daemon keeps it.")
        {
            name, include, exclude, memoryOnly, timeout, whenUnable, reset, json,
        };
        set.Validators.Add(r =>
        {
            if (r.GetValue(include) && r.GetValue(exclude))
            {
                r.AddError("'--include' and '--exclude' contradict each other.");
            }

            if (r.GetValue(timeout) is { } text && !Durations.TryParse(text, out _))
            {
                r.AddError($"'{text}' is no time: a number with ms, s, m or h, such as 45s.");
            }
        });
        set.SetAction(async (r, cancellation) =>
        {
            if (link.Open(r, reads: false) is not { } daemon)
            {
                await error.WriteLineAsync(
                    "xtlctl: no daemon runs here that could keep it. Start xtlckptd, or give 'xtlctl checkpoint' its own options.")
                    .ConfigureAwait(false);
                return ExitCodes.Unavailable;
            }

            var policy = new V1.DomainPolicy
            {
                SuspendTimeout = r.GetValue(timeout) is { } text && Durations.TryParse(text, out TimeSpan time)
                    ? Duration.FromTimeSpan(time)
                    : null,
                WhenUnable = r.GetValue(whenUnable) switch
                {
                    "fail" => V1.WhenUnable.Fail,
                    "skip" => V1.WhenUnable.Skip,
                    _ => V1.WhenUnable.Unspecified,
                },
            };
            if (r.GetValue(include) || r.GetValue(exclude))
            {
                policy.Include = r.GetValue(include);
            }

            if (r.GetResult(memoryOnly) is not null)
            {
                policy.MemoryOnly = r.GetValue(memoryOnly) ?? true;
            }

            return await new DaemonCommands(daemon, output).SetDomainAsync(
                new V1.SetDomainRequest { Domain = r.GetValue(name)!, Policy = policy, Reset = r.GetValue(reset) },
                r.GetValue(json), cancellation).ConfigureAwait(false);
        });
        return new Command("domain", "Settings of one domain.") { set };
    }
}
