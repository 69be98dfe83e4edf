using FsCheck;

namespace XenTwoLevelCkpt.XlStream.Tests;

/// <summary>How properties are checked: a counterexample is thrown, success is silent.</summary>
internal static class Properties
{
    internal static Config Quiet { get; } = Config.QuickThrowOnFailure.WithQuietOnSuccess(true);
}
