using System.CommandLine;
using XenTwoLevelCkpt.Protocol.Checking;

namespace XenTwoLevelCkpt.Simulator;

/// <summary><c>xtlsim check</c>: judges a trace.</summary>
internal static class CheckCommand
{
    /// <summary>Makes the command.</summary>
    /// <param name="context">What commands share.</param>
    internal static Command Make(AppContext context)
    {
        var file = new Argument<string>("TRACE") { Description = "A trace, binary or JSON lines." };
        var command = new Command(
            "check", "Judge a recorded run: orphans, useless checkpoints, channel logs, rollback distances. Exit code 1 "
            + "where something is wrong.")
        {
            file,
        };
        context.AddFormats(command);
        command.SetAction(result =>
        {
            ResultFormat format = context.Format(result);
            CheckReport report;
            using (FileStream stream = File.OpenRead(result.GetRequiredValue(file)))
            {
                report = TraceChecker.Check(stream);
            }

            var table = new ResultTable(
                [
                    "protocol", "nodes", "sound", "records", "sends", "receives", "in_flight", "lost", "basic", "forced",
                    "other", "failures", "rollbacks", "checkpoints_undone", .. Metrics.OfJudgements,
                ]);
            table.Add([
                report.Header.Protocol, report.Header.Nodes, report.Sound ? "yes" : "no", report.Records, report.Sends,
                report.Receives, report.InFlight, report.Lost, report.Basic, report.Forced, report.Other, report.Failures,
                report.Rollbacks, report.CheckpointsUndone, .. Metrics.Of(report).Select(value => (object)value),
            ]);
            context.Output.Write(table.Format(format));
            foreach (Finding finding in report.Findings)
            {
                context.Error.WriteLine($"xtlsim: record {finding.Record}: {finding.Text}");
            }

            return report.Sound ? ExitCodes.Ok : ExitCodes.Failure;
        });
        return command;
    }
}
