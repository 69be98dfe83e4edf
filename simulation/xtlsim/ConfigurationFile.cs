using System.CommandLine;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace XenTwoLevelCkpt.Simulator;

/// <summary>Options from a YAML file: a mapping from long names without the dashes to values.</summary>
internal static class ConfigurationFile
{
    /// <summary>The option that names the file.</summary>
    internal const string OptionName = "--config";

    /// <summary>Parses a command line, together with the file that it names.</summary>
    /// <param name="root">The commands.</param>
    /// <param name="args">The command line.</param>
    /// <exception cref="InvalidDataException">The file is no mapping of options to values.</exception>
    internal static ParseResult Apply(RootCommand root, string[] args)
    {
        ParseResult parsed = root.Parse(args);
        if (parsed.CommandResult.Command.Options.FirstOrDefault(option => option.Name == OptionName) is not Option<string?> option
            || parsed.GetResult(option) is null || parsed.GetValue(option) is not { } path)
        {
            return parsed;
        }

        var more = new List<string>(args);
        foreach ((string name, string value) in Read(path))
        {
            Option known = parsed.CommandResult.Command.Options.FirstOrDefault(o => o.Name == "--" + name && o != option)
                ?? throw new InvalidDataException(
                    $"{path}: '{name}' is not an option of 'xtlsim {parsed.CommandResult.Command.Name}'");
            if (parsed.GetResult(known) is not { Implicit: false })
            {
                more.Add($"{known.Name}={value}");
            }
        }

        return root.Parse(more);
    }

    private static IEnumerable<(string Name, string Value)> Read(string path)
    {
        var stream = new YamlStream();
        try
        {
            using StreamReader reader = File.OpenText(path);
            stream.Load(reader);
        }
        catch (YamlException e)
        {
            throw new InvalidDataException($"{path}, line {e.Start.Line}: {e.Message.ReplaceLineEndings(" ")}", e);
        }

        if (stream.Documents.Count != 1 || stream.Documents[0].RootNode is not YamlMappingNode map)
        {
            throw new InvalidDataException($"{path}: expected a mapping of options to values, such as 'vms: 1000'");
        }

        foreach ((YamlNode key, YamlNode value) in map)
        {
            yield return key is YamlScalarNode { Value: { } name } && value is YamlScalarNode { Value: { } text }
                ? (name, text)
                : throw new InvalidDataException(
                    $"{path}, line {key.Start.Line}: expected 'option: value' with a single value");
        }
    }
}
