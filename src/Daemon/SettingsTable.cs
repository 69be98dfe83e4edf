using System.Globalization;
using System.Text.Json;
using Microsoft.Extensions.Configuration;
using XenTwoLevelCkpt.Checkpointing.Settings;

namespace XenTwoLevelCkpt.Daemon;

/// <summary>One value of a configuration.</summary>
/// <param name="Section">The value as configuration, in which everything is text.</param>
/// <param name="Json">The same as the file has it: what kind of value it is, and how it is written.</param>
/// <param name="Problems">Receives a sentence for each wrong value below this one.</param>
internal readonly record struct SettingsValue(IConfigurationSection Section, JsonElement Json, List<string> Problems)
{
    /// <summary>The text; null for any other kind of value, a number that looks like one included.</summary>
    internal string? Text => Json.ValueKind == JsonValueKind.String ? Section.Value : null;

    /// <summary>The number as text; null for any other kind of value.</summary>
    internal string? Number => Json.ValueKind == JsonValueKind.Number ? Section.Value : null;
}

/// <summary>A key of a configuration.</summary>
/// <typeparam name="T">The settings, a record.</typeparam>
/// <param name="Name">The key.</param>
/// <param name="Allowed">The values that are allowed.</param>
/// <param name="Put">The settings with the value; null where it is not allowed.</param>
internal sealed record SettingsKey<T>(string Name, string Allowed, Func<T, SettingsValue, T?> Put)
    where T : class
{
    /// <summary>Allows null, too.</summary>
    internal SettingsKey<T> OrNull(Func<T, T> put) =>
        this with { Put = (s, v) => v.Json.ValueKind == JsonValueKind.Null ? put(s) : Put(s, v) };

    /// <summary>Allows a word, too.</summary>
    internal SettingsKey<T> Or(string word, Func<T, T> put) =>
        this with { Allowed = $"{Allowed}, or \"{word}\"", Put = (s, v) => v.Text == word ? put(s) : Put(s, v) };
}

/// <summary>The keys of a JSON object.</summary>
/// <typeparam name="T">The settings, a record.</typeparam>
/// <param name="keys">The keys. They are read in this order, whatever the file's.</param>
/// <param name="help">Where they are listed.</param>
internal sealed class SettingsTable<T>(IReadOnlyList<SettingsKey<T>> keys, string help)
    where T : class
{
    /// <summary>Puts in all that an object says.</summary>
    /// <param name="configuration">The object.</param>
    /// <param name="json">The same as JSON.</param>
    /// <param name="settings">What is not said.</param>
    /// <param name="problems">Receives a sentence for each wrong key and value.</param>
    internal T Read(IConfiguration configuration, JsonElement json, T settings, List<string> problems)
    {
        string prefix = configuration is not IConfigurationSection section ? ""
            : int.TryParse(section.Key, NumberStyles.None, CultureInfo.InvariantCulture, out int i)
            ? string.Create(CultureInfo.InvariantCulture, $"{section.Path.Split(':')[^2]}[{i}].")
            : $"{section.Path}.";
        foreach (JsonProperty unknown in json.EnumerateObject().Where(p => keys.All(k => k.Name != p.Name)))
        {
            string nearest = keys.MinBy(k => Distance(k.Name, unknown.Name))!.Name;
            problems.Add($"'{prefix}{unknown.Name}' is no key of the configuration; "
                + (Distance(nearest, unknown.Name) <= 1 + (nearest.Length / 3) ? $"is '{prefix}{nearest}' meant? " : "") + help);
        }

        foreach (SettingsKey<T> key in keys)
        {
            if (json.TryGetProperty(key.Name, out JsonElement value))
            {
                int before = problems.Count;
                T? next = key.Put(settings, new SettingsValue(configuration.GetSection(key.Name), value, problems));
                if (next is null && problems.Count == before)
                {
                    problems.Add($"'{prefix}{key.Name}' is {value.GetRawText()}; allowed is {key.Allowed}.");
                }

                settings = next ?? settings;
            }
        }

        return settings;
    }

    // Levenshtein's, without regard to case.
    private static int Distance(string a, string b)
    {
        int[] row = [.. Enumerable.Range(0, b.Length + 1)];
        for (int i = 0; i < a.Length; i++)
        {
            (int diagonal, row[0]) = (row[0], i + 1);
            for (int j = 0; j < b.Length; j++)
            {
                int replaced = diagonal + (char.ToUpperInvariant(a[i]) == char.ToUpperInvariant(b[j]) ? 0 : 1);
                diagonal = row[j + 1];
                row[j + 1] = Math.Min(replaced, 1 + Math.Min(row[j], row[j + 1]));
            }
        }

        return row[^1];
    }
}

/// <summary>Kinds of keys.</summary>
internal static class SettingsKey
{
    internal static SettingsKey<T> Text<T>(string name, string allowed, Func<string, bool> fits, Func<T, string, T> put)
        where T : class =>
        new(name, allowed, (s, v) => v.Text is { } text && fits(text) ? put(s, text) : null);

    internal static SettingsKey<T> OneOf<T>(string name, string[] allowed, Func<T, string, T> put)
        where T : class =>
        Text(name, string.Join(", ", allowed.Select(a => $"\"{a}\"")), allowed.Contains, put);

    internal static SettingsKey<T> AbsolutePath<T>(string name, Func<T, string, T> put)
        where T : class =>
        Text(name, "an absolute path", Path.IsPathFullyQualified, put);

    internal static SettingsKey<T> Duration<T>(string name, TimeSpan least, TimeSpan most, Func<T, TimeSpan, T> put)
        where T : class =>
        new(name, $"a duration from {Name(least)} to {Name(most)}, a number with ms, s, m or h such as \"10s\"", (s, v) =>
            Durations.TryParse(v.Text ?? "", out TimeSpan value) && value >= least && value <= most ? put(s, value) : null);

    internal static SettingsKey<T> Size<T>(string name, long least, long most, Func<T, long, T> put)
        where T : class =>
        new(name, $"a size from {Sizes.Text(least)} to {Sizes.Text(most)}, a whole number with K, M, G or T such as \"64M\"", (s, v) =>
            Sizes.TryParse(v.Text ?? "", out long value) && value >= least && value <= most ? put(s, value) : null);

    internal static SettingsKey<T> Whole<T>(string name, int least, int most, Func<T, int, T> put)
        where T : class =>
        new(name, string.Create(CultureInfo.InvariantCulture, $"a whole number from {least} to {most}"), (s, v) =>
            int.TryParse(v.Number, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value)
                && value >= least && value <= most ? put(s, value) : null);

    internal static SettingsKey<T> Share<T>(string name, Func<T, double, T> put, double least = 0)
        where T : class =>
        new(name, string.Create(CultureInfo.InvariantCulture, $"a number from {least} to 1"), (s, v) =>
            double.TryParse(v.Number, NumberStyles.Float, CultureInfo.InvariantCulture, out double value)
                && value >= least && value <= 1 ? put(s, value) : null);

    internal static SettingsKey<T> Flag<T>(string name, Func<T, bool, T> put)
        where T : class =>
        new(name, "true or false", (s, v) =>
            v.Json.ValueKind is JsonValueKind.True or JsonValueKind.False ? put(s, v.Section.Get<bool>()) : null);

    private static string Name(TimeSpan t) => t switch
    {
        { TotalHours: >= 1 } => string.Create(CultureInfo.InvariantCulture, $"{t.TotalHours}h"),
        { TotalSeconds: >= 1 } => string.Create(CultureInfo.InvariantCulture, $"{t.TotalSeconds}s"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{t.TotalMilliseconds}ms"),
    };
}
