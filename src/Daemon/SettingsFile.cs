using System.Text.Json;
using Microsoft.Extensions.Configuration;

namespace XenTwoLevelCkpt.Daemon;

/// <summary>A configuration is wrong.</summary>
public sealed class SettingsException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="problems">One sentence for each wrong value: its key, the value, and what is allowed.</param>
    public SettingsException(IReadOnlyList<string> problems)
        : base(string.Join('\n', problems)) => Problems = problems;

    /// <summary>One sentence for each wrong value.</summary>
    public IReadOnlyList<string> Problems { get; }
}

/// <summary>Reads the daemon's configuration: one JSON object. It is checked as a whole, so that one start tells all that is
/// wrong.</summary>
public static class SettingsFile
{
    /// <summary>Reads and checks a configuration.</summary>
    /// <param name="path">The file; null for the defaults alone.</param>
    /// <param name="adjust">Puts in what the command line says; may be null.</param>
    /// <exception cref="SettingsException">It is wrong.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static NodeSettings Read(string? path, Func<NodeSettings, NodeSettings>? adjust = null) =>
        Parse(path is null ? "{}"u8.ToArray() : File.ReadAllBytes(path), adjust);

    /// <summary>Checks a configuration.</summary>
    /// <param name="json">The file's octets.</param>
    /// <param name="adjust">Puts in what the command line says; may be null.</param>
    /// <exception cref="SettingsException">It is wrong.</exception>
    public static NodeSettings Parse(ReadOnlyMemory<byte> json, Func<NodeSettings, NodeSettings>? adjust = null)
    {
        var problems = new List<string>();
        var settings = new NodeSettings();
        try
        {
            using var document = JsonDocument.Parse(
                json, new JsonDocumentOptions { AllowTrailingCommas = true, CommentHandling = JsonCommentHandling.Skip });
            if (document.RootElement.ValueKind != JsonValueKind.Object)
            {
                problems.Add("The file is no JSON object: it begins with { and names keys.");
            }
            else
            {
                using var stream = new MemoryStream(json.ToArray(), writable: false);
                IConfigurationRoot configuration = new ConfigurationBuilder().AddJsonStream(stream).Build();
                settings = SettingsKeys.Node.Read(configuration, document.RootElement, settings, problems);
                settings = settings.Shared is { } shared && configuration["store"] is null
                    ? settings with { Store = Path.Combine(shared, settings.Node) }
                    : settings;
            }
        }
        catch (JsonException e)
        {
            problems.Add($"The file is no JSON: {e.Message}");
        }
        catch (FormatException e)
        {
            // Keys that differ in case alone are the same one to the library.
            problems.Add($"The file says something twice: {e.Message}");
        }

        settings = adjust?.Invoke(settings) ?? settings;
        problems.AddRange(new SettingsValidator().Validate(null, settings).Failures ?? []);
        return problems.Count == 0 ? settings : throw new SettingsException(problems);
    }
}
