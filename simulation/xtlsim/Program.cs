using XenTwoLevelCkpt.Simulator;

using var interrupted = new CancellationTokenSource();
Console.CancelKeyPress += (_, e) =>
{
    e.Cancel = true;
    interrupted.Cancel();
};
return new App(Console.Out, Console.Error).Run(args, interrupted.Token);
