using System.Globalization;
using System.Net;
using System.Net.Sockets;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using XenTwoLevelCkpt.Benchmarks.Channel;
using XenTwoLevelCkpt.Benchmarks.Node;

const string Folder = "artifacts/bench";
switch (args)
{
    // Parts of scripts/bench-channel.sh.
    case ["channel-daemon", string file]:
        await ChannelDaemon.RunAsync(file).ConfigureAwait(false);
        return 0;
    case ["channel-serve", string endPoint]:
        RoundTrips.Serve(IPEndPoint.Parse(endPoint));
        return 0;
    case ["channel-ask", string endPoint, string seconds]:
        try
        {
            RoundTrips.Ask(IPEndPoint.Parse(endPoint), TimeSpan.FromSeconds(double.Parse(seconds, CultureInfo.InvariantCulture)));
            return 0;
        }
        catch (SocketException e)
        {
            // A way that breaks under load has no figure.
            await Console.Error.WriteLineAsync($"{endPoint}: {e.Message}").ConfigureAwait(false);
            return 1;
        }
    case ["channel-messages"]:
        await Messages.RunAsync().ConfigureAwait(false);
        return 0;
    case ["channel-report", string folder]:
        var table = new BenchmarkOutput("channel", Folder);
        new ChannelReport(folder).Write(table);
        table.Save();
        return 0;
}

// Those of the node print ratios of their own runs; the others are BenchmarkDotNet's.
foreach (string name in args.Length > 0 && args[0] == "node" ? args[1..] : [])
{
    Console.WriteLine($"== {name}");
    var output = new BenchmarkOutput(name, Folder);
    switch (name)
    {
        case "cache":
            CacheBenchmark.Run(output);
            break;
        case "capture":
            CaptureBenchmark.Run(output);
            break;
        case "lz4":
            Lz4Benchmark.Run(output);
            break;
        case "scale":
            await ScaleBenchmark.RunAsync(output).ConfigureAwait(false);
            break;
        case "store":
            await StoreBenchmark.RunAsync(output).ConfigureAwait(false);
            break;
        default:
            Console.Error.WriteLine($"There is no benchmark '{name}': cache, capture, lz4, scale, store.");
            return 64;
    }

    output.Save();
}

if (args.Length > 0 && args[0] == "node")
{
    return 0;
}

// In this process: the generated project of the default toolchain would be built under this repository's rules.
IConfig config = ManualConfig.Create(DefaultConfig.Instance)
    .AddJob(Job.ShortRun.WithToolchain(InProcessEmitToolchain.Instance))
    .WithOptions(ConfigOptions.DisableLogFile);
BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args, config);
return 0;
