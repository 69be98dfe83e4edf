using Spectre.Console;
using XenTwoLevelCkpt.Checkpointing.Node;
using V1 = XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Control.Checkpoints;

/// <summary>Progress of long work: a bar on a terminal, nothing in a pipe.</summary>
internal static class ProgressDisplay
{
    /// <summary>Runs work that reports checkpoint progress.</summary>
    internal static Task<T> RunAsync<T>(Func<IProgress<CheckpointProgress>?, Task<T>> work) =>
        RunAsync<CheckpointProgress, T>(work, "copying", (task, p) =>
        {
            task.Description = p.Stage switch
            {
                CheckpointStage.Copying => "copying memory",
                CheckpointStage.Suspending => "suspending",
                CheckpointStage.Writing => "writing",
                _ => "done",
            };
            task.Value = p.Fraction;
        });

    /// <summary>Runs work of a daemon that reports checkpoint progress.</summary>
    internal static Task<T> RunAsync<T>(Func<IProgress<V1.CheckpointProgress>?, Task<T>> work) =>
        RunAsync<V1.CheckpointProgress, T>(work, "waiting", (task, p) =>
        {
            task.Description = p.Stage switch
            {
                V1.CheckpointStage.Queued => "waiting",
                V1.CheckpointStage.Copying => "copying memory",
                V1.CheckpointStage.Suspending => "suspending",
                _ => "writing",
            };
            task.Value = p.Fraction;
        });

    /// <summary>Runs work that reports the share that is done.</summary>
    internal static Task<T> RunAsync<T>(string description, Func<IProgress<double>?, Task<T>> work) =>
        RunAsync<double, T>(work, description, (task, fraction) => task.Value = fraction);

    private static async Task<T> RunAsync<TProgress, T>(
        Func<IProgress<TProgress>?, Task<T>> work, string description, Action<ProgressTask, TProgress> show)
    {
        if (Console.IsErrorRedirected)
        {
            return await work(null).ConfigureAwait(false);
        }

        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
        return await console.Progress()
            .AutoClear(true)
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn())
            .StartAsync(async context =>
            {
                ProgressTask task = context.AddTask(description, maxValue: 1);
                return await work(new Relay<TProgress>(p => show(task, p))).ConfigureAwait(false);
            })
            .ConfigureAwait(false);
    }

    // Progress<T> would hand reports to the thread pool, and so out of order.
    private sealed class Relay<T>(Action<T> report) : IProgress<T>
    {
        public void Report(T value) => report(value);
    }
}
