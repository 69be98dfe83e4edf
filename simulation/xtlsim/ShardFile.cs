using System.Text;
using System.Text.Json;

namespace XenTwoLevelCkpt.Simulator;

/// <summary>The results of some jobs of a study: a line of JSON about the study, then one line for each job, then one
/// that says that the file is whole.</summary>
/// <param name="Args">The command line of the study.</param>
/// <param name="AllJobs">Jobs of the whole study.</param>
/// <param name="Jobs">Those whose results are here.</param>
/// <param name="Results">Their results.</param>
internal sealed record ShardFile(string[] Args, int AllJobs, int[] Jobs, double[][] Results)
{
    private const string Magic = "xtlsim-shard-1";
    private const string End = "end";

    /// <summary>Writes a shard.</summary>
    internal static void Write(string path, ShardFile shard)
    {
        var text = new StringBuilder();
        text.Append(JsonSerializer.Serialize(new object[] { Magic, shard.Args, shard.AllJobs })).Append('\n');
        for (int i = 0; i < shard.Jobs.Length; i++)
        {
            text.Append(JsonSerializer.Serialize(new object[] { shard.Jobs[i], shard.Results[i] })).Append('\n');
        }

        text.Append(JsonSerializer.Serialize(new object[] { End, shard.Jobs.Length })).Append('\n');
        OutputFiles.Write(path, text.ToString());
    }

    /// <summary>Reads a shard.</summary>
    /// <exception cref="InvalidDataException">It is none, or is cut.</exception>
    internal static ShardFile Read(string path)
    {
        string[] lines = File.ReadAllLines(path);
        try
        {
            JsonElement head = JsonDocument.Parse(lines.Length > 0 ? lines[0] : "").RootElement;
            if (head[0].GetString() != Magic)
            {
                throw new InvalidDataException($"{path} is not a shard of xtlsim");
            }

            JsonElement end = JsonDocument.Parse(lines[^1]).RootElement;
            if (end[0].ValueKind != JsonValueKind.String || end[1].GetInt32() != lines.Length - 2)
            {
                throw new InvalidDataException($"{path} ends before its last job; run that shard again");
            }

            JsonElement[] jobs = [.. lines[1..^1].Select(line => JsonDocument.Parse(line).RootElement)];
            return new ShardFile(
                [.. head[1].EnumerateArray().Select(arg => arg.GetString()!)],
                head[2].GetInt32(),
                [.. jobs.Select(job => job[0].GetInt32())],
                [.. jobs.Select(job => job[1].EnumerateArray().Select(value => value.GetDouble()).ToArray())]);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or IndexOutOfRangeException
            or FormatException)
        {
            throw new InvalidDataException($"{path} is not a whole shard of xtlsim; run that shard again", e);
        }
    }
}
