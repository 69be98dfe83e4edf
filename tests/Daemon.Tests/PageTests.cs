using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Grpc.Core;
using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Daemon.Page;
using XenTwoLevelCkpt.Hypervisor.Model;
using XenTwoLevelCkpt.Rpc.V1;
using Xunit;
using CheckpointCause = XenTwoLevelCkpt.Channels.CheckpointCause;
using ForcingMessage = XenTwoLevelCkpt.Channels.ForcingMessage;

namespace XenTwoLevelCkpt.Daemon.Tests;

public sealed class PageTests : IDisposable
{
    // Addresses of this process alone, and a port below those that the system gives to connections.
    private static readonly IPEndPoint Address =
        IPEndPoint.Parse($"127.{2 + ((Environment.ProcessId >> 8) % 250)}.{Environment.ProcessId & 255}.9:7080");

    private readonly HttpClient _client = new() { BaseAddress = new Uri($"http://{Address}"), Timeout = TestNode.Patience };

    public void Dispose() => _client.Dispose();

    [Theory]
    [InlineData("GET", "/", 200)]
    [InlineData("HEAD", "/", 200)]
    [InlineData("GET", "/page.js", 200)]
    [InlineData("GET", "/page.css", 200)]
    [InlineData("HEAD", "/events", 200)]
    [InlineData("GET", "/index.html", 404)]
    [InlineData("GET", "/events/", 404)]
    [InlineData("GET", "/..%2fpage.js", 404)]
    [InlineData("GET", "/xtlckpt.v1.NodeControl/GetNode", 404)]
    [InlineData("POST", "/xtlckpt.v1.NodeControl/Checkpoint", 405)]
    [InlineData("POST", "/", 405)]
    [InlineData("PUT", "/page.js", 405)]
    [InlineData("DELETE", "/events", 405)]
    [InlineData("OPTIONS", "/events", 405)]
    public async Task Only_what_is_there_is_served_and_only_to_read(string method, string path, int code)
    {
        await using TestNode node = await StartAsync();
        using var request = new HttpRequestMessage(new HttpMethod(method), path);
        if (method == "POST")
        {
            request.Content = new ByteArrayContent([0, 0, 0, 0, 0]);
            request.Content.Headers.ContentType = new("application/grpc");
        }

        using HttpResponseMessage response = await _client.SendAsync(request);
        Assert.Equal(code, (int)response.StatusCode);
        string policy = Header(response, "Content-Security-Policy");
        Assert.Contains("default-src 'none'", policy, StringComparison.Ordinal);
        Assert.DoesNotContain("unsafe", policy, StringComparison.Ordinal);
        Assert.Equal("nosniff", Header(response, "X-Content-Type-Options"));
        Assert.Equal("no-store", Header(response, "Cache-Control"));
        Assert.False(response.Headers.Contains("Access-Control-Allow-Origin"));
        if (code == 405)
        {
            Assert.Equal(["GET", "HEAD"], response.Content.Headers.Allow.Order());
        }

        if (method == "HEAD")
        {
            Assert.Empty(await response.Content.ReadAsByteArrayAsync());
        }

        Assert.Equal((0UL, 0), ((await node.Client.GetNodeAsync(new GetNodeRequest())).Sn, node.Host.Page!.Viewers));
    }

    [Fact]
    public async Task What_the_page_is_made_of_needs_nothing_from_elsewhere()
    {
        await using TestNode node = await StartAsync();
        foreach (string path in new[] { "/", "/page.js", "/page.css" })
        {
            string text = await _client.GetStringAsync(path);
            Assert.DoesNotContain("//", text.Replace("http://www.w3.org/2000/svg", "", StringComparison.Ordinal)
                .Replace("// ", "", StringComparison.Ordinal), StringComparison.Ordinal);
            Assert.DoesNotContain("innerHTML", text, StringComparison.Ordinal);
        }

        string html = await _client.GetStringAsync("/");
        Assert.DoesNotContain("style=", html, StringComparison.Ordinal);
        Assert.Contains(".forced { fill: #c05621 }", await _client.GetStringAsync("/page.css"), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("evil.example", 421)]
    [InlineData("evil.example:7080", 421)]
    [InlineData("alpha", 200)]
    [InlineData("localhost:7080", 200)]
    [InlineData("[::1]:7080", 200)]
    [InlineData("10.1.2.3", 200)]
    public async Task A_name_that_is_not_the_hosts_is_refused(string host, int code)
    {
        await using TestNode node = await StartAsync();
        using var request = new HttpRequestMessage(HttpMethod.Get, "/");
        request.Headers.Host = host;
        using HttpResponseMessage response = await _client.SendAsync(request);
        Assert.Equal(code, (int)response.StatusCode);
    }

    [Fact]
    public async Task Without_the_setting_nobody_listens()
    {
        await using TestNode node = await TestNode.StartAsync(guests: 0);
        await Assert.ThrowsAsync<HttpRequestException>(() => _client.GetAsync("/"));
    }

    [Fact]
    public async Task A_viewer_that_comes_late_or_again_misses_nothing_and_gets_nothing_twice()
    {
        await using TestNode node = await StartAsync();
        ulong first = (await node.CheckpointAsync()).Index;
        string id;
        List<PageEvent> before;
        using (PageViewer viewer = await PageViewer.OpenAsync(_client))
        {
            PageEvent hello = (await viewer.ReadAsync())!;
            Assert.Equal(("hello", "alpha", "[\"alpha\"]"), (hello.Kind, hello.Text("node"), hello.Text("nodes")));
            before = await viewer.MarksAsync(m => m.Mark == "basic");
            Assert.Equal(["start", "basic"], before.Select(m => m.Mark));
            Assert.Equal((long)first, before[^1].Index);
            PageEvent now = await viewer.ReadAsync("now", e => e.Text("durable") == "1");
            Assert.Equal(("1", "1", "0"), (now.Text("index"), now.Text("line"), now.Text("incarnation")));

            // As it happens.
            _ = await node.CheckpointAsync();
            before.Add(await viewer.ReadAsync("mark"));
            id = viewer.LastId;
        }

        _ = await node.CheckpointAsync(new CheckpointRequest { Label = "third" });
        foreach (string path in new[] { "/events", $"/events?after={id}" })
        {
            using PageViewer again = await PageViewer.OpenAsync(_client, path == "/events" ? id : null, path);
            List<PageEvent> rest = await again.MarksAsync(m => m.Text("text") == "asked for: third");
            Assert.Equal([before[^1].Number + 1], rest.Select(m => m.Number));
        }

        // What is of another run, or nonsense, says nothing: all comes.
        foreach (string other in new[] { "0123456789abcdef-1", id + "0", id[..id.IndexOf('-', StringComparison.Ordinal)], "-", "x-y-z", "-1", id + "-2" })
        {
            using PageViewer again = await PageViewer.OpenAsync(_client, other);
            Assert.Equal([1, 2, 3, 4], (await again.MarksAsync(m => m.Text("text") == "asked for: third")).Select(m => m.Number));
        }
    }

    [Fact]
    public async Task A_daemon_that_is_started_anew_is_another_run()
    {
        await using TestNode node = await StartAsync();
        _ = await node.CheckpointAsync();
        using PageViewer viewer = await PageViewer.OpenAsync(_client);
        string run = (await viewer.ReadAsync())!.Text("run")!;
        _ = await viewer.MarksAsync(m => m.Mark == "basic");
        await node.RestartAsync();

        // The stream has ended in order, and did not hold the daemon up.
        while (await viewer.ReadAsync() is not null)
        {
        }

        using PageViewer again = await PageViewer.OpenAsync(_client, viewer.LastId);
        Assert.NotEqual(run, (await again.ReadAsync())!.Text("run"));
        PageEvent start = await again.ReadAsync("mark");
        Assert.Equal(("start", 1L, 1L), (start.Mark, start.Number, start.Index));
    }

    [Fact]
    public async Task What_is_not_kept_any_more_is_counted()
    {
        await using TestNode node = await StartAsync(new PageLimits { History = 4 });
        using PageViewer viewer = await PageViewer.OpenAsync(_client);
        _ = await viewer.MarksAsync(m => m.Mark == "start");
        string id = viewer.LastId;
        for (int i = 0; i < 9; i++)
        {
            _ = await node.CheckpointAsync();
        }

        _ = await viewer.MarksAsync(m => m.Index == 9);
        using PageViewer late = await PageViewer.OpenAsync(_client, id);
        Assert.Equal("5", (await late.ReadAsync("gap")).Text("missed"));
        Assert.Equal([7L, 8, 9, 10], (await late.MarksAsync(m => m.Index == 9)).Select(m => m.Number));
    }

    [Fact]
    public async Task There_are_only_so_many_viewers()
    {
        await using TestNode node = await StartAsync(new PageLimits { Viewers = 2 });
        using PageViewer first = await PageViewer.OpenAsync(_client);
        using (PageViewer second = await PageViewer.OpenAsync(_client))
        {
            using HttpResponseMessage refused = await _client.GetAsync("/events");
            Assert.Equal((HttpStatusCode.ServiceUnavailable, "5"), (refused.StatusCode, Header(refused, "Retry-After")));
            Assert.Equal(2, node.Host.Page!.Viewers);
        }

        while (node.Host.Page!.Viewers > 1)
        {
            await Task.Delay(5);
        }

        using PageViewer third = await PageViewer.OpenAsync(_client);
        Assert.Equal("hello", (await third.ReadAsync())!.Kind);
    }

    [Fact]
    public async Task There_are_only_so_many_connections()
    {
        await using TestNode node = await StartAsync(new PageLimits { Connections = 2 });
        using var first = await ConnectAsync();
        using var second = await ConnectAsync();
        using (var third = await ConnectAsync())
        {
            Assert.Equal(0, await ReceiveAsync(third));
        }

        first.Dispose();
        while (true)
        {
            using var next = await ConnectAsync();
            await next.SendAsync(Encoding.ASCII.GetBytes("GET / HTTP/1.1\r\nHost: alpha\r\n\r\n"));
            if (await ReceiveAsync(next) > 0)
            {
                break;
            }
        }
    }

    [Fact]
    public async Task A_viewer_that_takes_nothing_is_dropped_and_nobody_waits_for_it()
    {
        await using TestNode node = await StartAsync(
            new PageLimits { History = 64, Patience = TimeSpan.FromSeconds(15) });
        using Socket stuck = await StuckAsync();
        using PageViewer other = await PageViewer.OpenAsync(_client);
        _ = await other.ReadAsync("mark");
        while (node.Host.Page!.Viewers < 2)
        {
            await Task.Delay(5);
        }

        var added = new List<WeakReference>();
        Task flood = Task.Run(async () =>
        {
            byte[] mark = Encoding.UTF8.GetBytes($$"""{"kind":"basic","node":"alpha","index":7,"text":"{{new string('x', 16 << 10)}}"}""");
            while (node.Host.Page.Viewers == 2)
            {
                for (int i = 0; i < 16; i++)
                {
                    byte[] copy = [.. mark];
                    added.Add(new WeakReference(copy));
                    node.Host.Page.History.Add(copy);
                }

                // At first faster than anybody reads; then so slowly that who reads is never behind for long.
                await Task.Delay(added.Count < 1024 ? 5 : 200);
            }
        });
        while (!flood.IsCompleted)
        {
            _ = await other.ReadAsync();
        }

        await flood;

        // The other one goes on reading, however long the rest takes.
        Task<PageEvent> after = Task.Run(() => other.ReadAsync("mark", m => m.Text("text") == "asked for: after"));

        // The history, and what is on its way to the viewer that reads. The dropped one's stream may just be ending.
        int kept;
        var waited = Stopwatch.StartNew();
        do
        {
            await Task.Delay(20);
            GC.Collect();
            kept = added.Count(a => a.IsAlive);
        }
        while (kept > 2 * 64 && waited.Elapsed < TestNode.Patience);
        Assert.InRange(kept, 1, 2 * 64);
        Assert.InRange(added.Count, 4 * 64, int.MaxValue);
        Assert.Equal(1, node.Host.Page.Viewers);
        ulong index = (await node.CheckpointAsync(new CheckpointRequest { Label = "after" })).Index;
        Assert.Equal((long)index, (await after).Index);
    }

    [Fact]
    public async Task A_viewer_that_is_slow_gets_what_is_kept_and_is_told_what_is_not()
    {
        await using TestNode node = await StartAsync(new PageLimits { History = 64, Patience = TestNode.Patience });
        using PageViewer slow = await PageViewer.OpenAsync(_client);
        long last = (await slow.ReadAsync("mark")).Number, added = last;
        string text = new('x', 16 << 10);
        for (; added < 4000; added++)
        {
            node.Host.Page!.History.Add(Encoding.UTF8.GetBytes($$"""{"kind":"basic","node":"alpha","text":"{{text}}"}"""));
            if (added % 64 == 0)
            {
                await Task.Delay(1);
            }
        }

        long missed = 0;
        while (last < added)
        {
            PageEvent next = (await slow.ReadAsync())!;
            if (next.Kind == "gap")
            {
                missed = next.Data.GetProperty("missed").GetInt64();
            }
            else if (next.Kind == "mark")
            {
                Assert.Equal(last + missed + 1, next.Number);
                (last, missed) = (next.Number, 0);
            }
        }
    }

    [Fact]
    public async Task What_guests_are_called_is_text()
    {
        const string Name = "</script><script>alert(1)</script>\"'&";
        await using TestNode node = await StartAsync(before: n => n.AddGuest(Name));
        node.Hypervisor.Guests.Single(g => g.Name == Name).Arm(ModelFault.SuspendNotAcknowledged);
        await TestNode.FailsAsync(StatusCode.Aborted, "SUSPEND_TIMEOUT", () => node.CheckpointAsync(
            new CheckpointRequest { Domains = { Name }, SuspendTimeout = Google.Protobuf.WellKnownTypes.Duration.FromTimeSpan(TimeSpan.FromMilliseconds(50)) }));
        using PageViewer viewer = await PageViewer.OpenAsync(_client);
        PageEvent failed = await viewer.ReadAsync("mark", m => m.Mark == "failed");
        Assert.Contains(Name, failed.Text("text"), StringComparison.Ordinal);
        Assert.DoesNotContain('<', failed.Data.GetRawText());
        Assert.DoesNotContain('\'', failed.Data.GetRawText());
    }

    [Fact]
    public async Task What_is_heard_of_others_is_told_as_it_is_heard()
    {
        PeerMessages messages = null!;
        await using TestNode node = await StartAsync(before: n => n.Messages = origin => messages = new PeerMessages(origin));
        using PageViewer viewer = await PageViewer.OpenAsync(_client);
        PageEvent now = await viewer.ReadAsync("now", e => e.Text("state") == "ready");
        Assert.Null(now.Text("line"));

        messages.Peer = new PeerStatus("beta", true, 3, 2, 0, DateTimeOffset.UtcNow, 0, null);
        Assert.Equal("up", await MarkAsync("up"));
        PageEvent heard = await viewer.ReadAsync("mark");
        Assert.Equal(("heard", "beta", 3L, "0"), (heard.Mark, heard.Text("node"), heard.Index, heard.Text("incarnation")));
        now = await viewer.ReadAsync("now", e => e.Text("line") is not null);
        Assert.Equal("0", now.Text("line"));

        // Its message is heard before the checkpoint that it forces, whatever the links show.
        messages.Force(5);
        heard = await viewer.ReadAsync("mark");
        Assert.Equal(("heard", 5L), (heard.Mark, heard.Index));
        PageEvent forced = await viewer.ReadAsync("mark");
        Assert.Equal(
            ("forced", "alpha", "beta", 5L),
            (forced.Mark, forced.Text("node"), forced.Data.GetProperty("by").GetProperty("node").GetString(), forced.Data.GetProperty("by").GetProperty("index").GetInt64()));

        messages.Peer = messages.Peer with { Connected = false };
        Assert.Equal("down", await MarkAsync("down"));

        async Task<string> MarkAsync(string kind) => (await viewer.ReadAsync("mark", m => m.Mark == kind)).Mark;
    }

    private static string Header(HttpResponseMessage response, string name) => Assert.Single(response.Headers.GetValues(name));

    private static async Task<Socket> ConnectAsync()
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { ReceiveBufferSize = 4096 };
        await socket.ConnectAsync(Address);
        return socket;
    }

    private static async Task<int> ReceiveAsync(Socket socket)
    {
        try
        {
            return await socket.ReceiveAsync(new byte[1]).WaitAsync(TestNode.Patience);
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionReset)
        {
            return 0;
        }
    }

    private static async Task<Socket> StuckAsync()
    {
        Socket socket = await ConnectAsync();
        await socket.SendAsync(Encoding.ASCII.GetBytes("GET /events HTTP/1.1\r\nHost: alpha\r\n\r\n"));
        return socket;
    }

    private static Task<TestNode> StartAsync(PageLimits? limits = null, Action<TestNode>? before = null) => TestNode.StartAsync(
        guests: 1, adjust: s => s with { PageListen = Address, PageLimits = limits ?? new PageLimits() }, before: before);

    /// <summary>The messages of a node with one peer, of which is heard what a test says.</summary>
    private sealed class PeerMessages(NodeOrigin origin) : INodeMessages
    {
        private readonly LoneNode _own = new(origin.Checkpoints, origin.Index, origin.Incarnation);

        public PeerStatus Peer { get; set; } = new("beta", false, 0, 0, 0, null, 0, null);

        public long Index => _own.Index;

        public int Incarnation => _own.Incarnation;

        public bool AwaitsRecovery => false;

        public long SavedIndex => _own.SavedIndex;

        public Channels.FrameLosses Losses => default;

        public long OldestKept { get; set; }

        public int SettledIncarnation { get; set; }

        public long DurableIndex
        {
            get => _own.DurableIndex;
            set => _own.DurableIndex = value;
        }

        public IReadOnlyList<PeerStatus> Peers => [Peer];

        /// <summary>A message of the peer forces a checkpoint, and the links have not been looked at.</summary>
        internal void Force(long index) => origin.Checkpoints.Begin(index, CheckpointCause.Forced, new ForcingMessage(Peer.Name, index));

        public void Start() => _own.Start();

        public bool Tick(CheckpointCause cause) => _own.Tick(cause);

        public void Retry() => _own.Retry();

        public void Suspended() => _own.Suspended();

        public ReadOnlyMemory<byte> TakeState() => _own.TakeState();

        public void CheckpointDone()
        {
            // The index is of no interest here.
        }

        public void CheckpointFailed()
        {
            // Nor this.
        }

        public void KnowGuests(IReadOnlyCollection<ulong> addresses) => _own.KnowGuests(addresses);

        public void Quiesce() => _own.Quiesce();

        public long RollBack(
            ReadOnlyMemory<byte> state, long line, int incarnation, IReadOnlyList<Departure>? lost = null, bool adopts = false) =>
            _own.RollBack(state, line, incarnation, lost, adopts);

        public void Resume() => _own.Resume();

        public bool AwaitsAdoption => _own.AwaitsAdoption;

        public string? ToSettle => _own.ToSettle;

        public void Settle(string node) => _own.Settle(node);

        public long Adopt(IReadOnlyList<Adoption> adoptions, long line) => _own.Adopt(adoptions, line);

        public ValueTask<ReadOnlyMemory<byte>?> ParkAsync() => _own.ParkAsync();

        public bool Survive(
            long line, int incarnation, IReadOnlyList<Departure>? lost = null, bool adopts = false) =>
            _own.Survive(line, incarnation, lost, adopts);

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
