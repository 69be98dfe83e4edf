using System.CommandLine;
using System.Runtime.InteropServices;
using XenTwoLevelCkpt.Chaos;

var nodes = new Option<int>("--nodes") { Description = "Nodes of the cluster.", DefaultValueFactory = _ => 3 };
var rounds = new Option<int>("--rounds") { Description = "Rounds.", DefaultValueFactory = _ => 20 };
var seed = new Option<int>("--seed")
{
    Description = "Decides the faults; another one each time where it is left out.",
    DefaultValueFactory = _ => Random.Shared.Next(1_000_000),
};
var folder = new Option<string?>("--folder") { Description = "An empty folder for what the nodes write; a temporary one where it is left out." };
var count = new Option<int>("--count-every") { Description = "After how many rounds the money is counted.", DefaultValueFactory = _ => 5 };
nodes.Validators.Add(r => Within(r, nodes, 2, 16));
rounds.Validators.Add(r => Within(r, rounds, 1, 1_000_000));
count.Validators.Add(r => Within(r, count, 1, 1_000_000));
var root = new RootCommand("Runs a cluster of daemons, injects faults, and judges what becomes of it.") { nodes, rounds, seed, folder, count };
root.SetAction(RunAsync);
// Daemons have to be ended and storage unmounted, however long that takes.
return await root.Parse(args).InvokeAsync(new InvocationConfiguration { ProcessTerminationTimeout = null });

static void Within(System.CommandLine.Parsing.OptionResult result, Option<int> option, int least, int most)
{
    if (result.GetValueOrDefault<int>() is int value && (value < least || value > most))
    {
        result.AddError($"{option.Name} is {value}; allowed is {least} to {most}.");
    }
}

async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellationToken)
{
    using var end = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
    using PosixSignalRegistration terminate = On(PosixSignal.SIGTERM), interrupt = On(PosixSignal.SIGINT);
    string place = parsed.GetValue(folder) is { } said
        ? Path.GetFullPath(said)
        : Directory.CreateTempSubdirectory("xtl-chaos-").FullName;
    var options = new ChaosOptions
    {
        Nodes = parsed.GetValue(nodes),
        Rounds = parsed.GetValue(rounds),
        Seed = parsed.GetValue(seed),
        CountEvery = parsed.GetValue(count),
        Folder = place,
    };
    bool well = await ChaosProgram.RunAsync(options, Console.Out, Console.Error, end.Token);
    return well ? 0 : 1;

    PosixSignalRegistration On(PosixSignal signal) => PosixSignalRegistration.Create(signal, context =>
    {
        context.Cancel = true;
        end.Cancel();
    });
}
