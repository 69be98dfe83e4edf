using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text.Json;
using Xunit;

namespace XenTwoLevelCkpt.Daemon.Tests;

/// <summary>One event of the page's stream.</summary>
internal sealed record PageEvent(string Kind, string Id, JsonElement Data)
{
    internal long Number => long.Parse(Id[(Id.IndexOf('-', StringComparison.Ordinal) + 1)..], CultureInfo.InvariantCulture);

    internal string Mark => Data.GetProperty("kind").GetString()!;

    internal long Index => Data.GetProperty("index").GetInt64();

    internal string? Text(string name) => Data.TryGetProperty(name, out JsonElement value) ? $"{value}" : null;
}

/// <summary>A reader of the page's events, as strict as WHATWG HTML, 9.2.6 allows it to be.</summary>
internal sealed class PageViewer : IDisposable
{
    private readonly HttpResponseMessage _response;
    private readonly StreamReader _lines;

    private PageViewer(HttpResponseMessage response, Stream stream)
    {
        _response = response;
        _lines = new StreamReader(stream);
    }

    internal string LastId { get; private set; } = "";

    internal static async Task<PageViewer> OpenAsync(HttpClient client, string? lastId = null, string path = "/events")
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, path);
        if (lastId is not null)
        {
            request.Headers.Add("Last-Event-ID", lastId);
        }

        HttpResponseMessage response = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal("text/event-stream", response.Content.Headers.ContentType!.MediaType);
        return new PageViewer(response, await response.Content.ReadAsStreamAsync());
    }

    /// <summary>The next event; null at the end of the stream.</summary>
    internal async Task<PageEvent?> ReadAsync()
    {
        string kind = "", data = "", id = "";
        while (await _lines.ReadLineAsync().WaitAsync(TestNode.Patience) is { } line)
        {
            if (line.Length == 0)
            {
                LastId = id.Length > 0 ? id : LastId;
                return new PageEvent(kind, id, JsonDocument.Parse(data).RootElement);
            }

            string[] field = line.Split(": ", 2);
            switch (field[0])
            {
                case "event": kind = field[1]; break;
                case "data": data += field[1]; break;
                case "id": id = field[1]; break;
                case "retry": break;
                default: throw new InvalidDataException(line);
            }
        }

        return null;
    }

    /// <summary>The next event of a kind; what comes before it is passed over.</summary>
    internal async Task<PageEvent> ReadAsync(string kind, Predicate<PageEvent>? wanted = null)
    {
        // The stream itself never ends.
        for (var waited = Stopwatch.StartNew(); waited.Elapsed < TestNode.Patience;)
        {
            PageEvent next = await ReadAsync() ?? throw new EndOfStreamException();
            if (next.Kind == kind && wanted?.Invoke(next) != false)
            {
                return next;
            }
        }

        throw new TimeoutException($"no such '{kind}' came");
    }

    /// <summary>All marks up to one.</summary>
    internal async Task<List<PageEvent>> MarksAsync(Predicate<PageEvent> last)
    {
        var marks = new List<PageEvent>();
        do
        {
            marks.Add(await ReadAsync("mark"));
        }
        while (!last(marks[^1]));
        return marks;
    }

    public void Dispose()
    {
        _lines.Dispose();
        _response.Dispose();
    }
}
