using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using XenTwoLevelCkpt.Benchmarks.Node;

// Those of the node print ratios of their own runs; the others are BenchmarkDotNet's.
const string Folder = "artifacts/bench";
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
        case "scale":
            await ScaleBenchmark.RunAsync(output).ConfigureAwait(false);
            break;
        default:
            Console.Error.WriteLine($"There is no benchmark '{name}': cache, capture, scale.");
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
