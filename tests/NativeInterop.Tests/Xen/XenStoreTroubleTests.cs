using XenTwoLevelCkpt.NativeInterop.Xen;
using Xunit;

#pragma warning disable xUnit1051 // Calls end by their own limits, which these tests are about.

namespace XenTwoLevelCkpt.NativeInterop.Tests.Xen;

/// <summary>A xenstored that hangs, closes connections, goes and comes back. Where a call did not end, a test would not either.
/// </summary>
[Collection("xenstored")]
public sealed class XenStoreTroubleTests : IDisposable
{
    private const int Read = 2, TransactionEnd = 7, Write = 11;

    private static readonly TimeSpan Long = TimeSpan.FromMinutes(1);

    // Long enough for a fake that answers to answer, and for nothing else.
    private static readonly XenStoreOptions Short = new()
    {
        Limit = TimeSpan.FromMilliseconds(200),
        SilentLimit = TimeSpan.FromMilliseconds(20),
    };

    private readonly FakeXenstored _daemon = new();

    public void Dispose() => _daemon.Dispose();

    public static TheoryData<string, Action<XenStore>> Calls => new()
    {
        { "read", s => s.Read("/a") },
        { "write", s => s.Write("/a", "1") },
        { "remove", s => s.Remove("/a") },
        { "list", s => s.List("/") },
        { "transaction", s => s.BeginTransaction() },
        { "path", s => s.GetDomainPath(1) },
        { "resume", s => s.ResumeDomain(1) },
        { "knows", s => s.Knows(1) },
        { "watch", s => s.Watch("/a", "t") },
        { "unwatch", s => s.Unwatch("/a", "t") },
    };

    [Theory]
    [MemberData(nameof(Calls), DisableDiscoveryEnumeration = true)]
    public void A_call_to_a_daemon_that_hangs_ends_and_says_what_to_do(string name, Action<XenStore> call)
    {
        using XenStore store = XenStore.Open(Short);
        _daemon.Hang();
        XenTimeoutException e = Assert.Throws<XenTimeoutException>(() => call(store));
        Assert.Contains("Do not end it", e.Message, StringComparison.Ordinal);
        Assert.NotEmpty(name);
    }

    [Theory]
    [MemberData(nameof(Calls), DisableDiscoveryEnumeration = true)]
    public async Task A_call_can_be_cancelled_while_the_daemon_hangs(string name, Action<XenStore> call)
    {
        using XenStore store = XenStore.Open(new XenStoreOptions { Limit = Long });
        _daemon.Hang();
        using var cancel = new CancellationTokenSource();
        Task running = Task.Run(() => Cancellable(name)(store, cancel.Token), TestContext.Current.CancellationToken);
        Assert.True(SpinWait.SpinUntil(() => _daemon.Requests > 0, Long));
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => running.WaitAsync(Long, TestContext.Current.CancellationToken));
        _daemon.GoOn();
        store.Write("/local/domain/1", "");
        call(store);
    }

    [Fact]
    public void A_daemon_that_hung_answers_the_next_call_with_its_own_answer()
    {
        using XenStore store = XenStore.Open(Short);
        store.Write("/a", "1");
        store.Write("/b", "2");
        _daemon.Hang();
        Assert.Throws<XenTimeoutException>(() => store.Read("/a"));
        _daemon.GoOn();
        Assert.Equal("2", store.Read("/b"));
    }

    [Fact]
    public void A_daemon_that_takes_no_more_connections_is_given_up()
    {
        _daemon.Hang();
        _daemon.Kill();
        using var full = new System.Net.Sockets.Socket(
            System.Net.Sockets.AddressFamily.Unix, System.Net.Sockets.SocketType.Stream, System.Net.Sockets.ProtocolType.Unspecified);
        File.Delete(_daemon.Socket);
        full.Bind(new System.Net.Sockets.UnixDomainSocketEndPoint(_daemon.Socket));
        full.Listen(0);
        var opened = new List<XenStore>();
        try
        {
            Assert.Throws<XenTimeoutException>(() =>
            {
                while (opened.Count < 100)
                {
                    opened.Add(XenStore.Open(Short));
                }
            });
        }
        finally
        {
            opened.ForEach(s => s.Dispose());
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(7)]
    [InlineData(16)]
    public void A_read_whose_answer_was_cut_off_is_asked_again(int octets)
    {
        using XenStore store = XenStore.Open();
        store.Write("/a", "a value");
        _daemon.CutNext = (Read, octets);
        Assert.Equal("a value", store.Read("/a"));
    }

    [Fact]
    public void A_write_that_may_have_been_done_is_not_repeated()
    {
        using XenStore store = XenStore.Open();
        store.Write("/a", "1");
        int before = _daemon.Requests;
        _daemon.CutNext = (Write, 5);
        XenUnavailableException e = Assert.Throws<XenUnavailableException>(() => store.Write("/a", "2"));
        Assert.Contains("It may have been done", e.Message, StringComparison.Ordinal);
        Assert.Equal(before + 1, _daemon.Requests);
        Assert.Equal("2", store.Read("/a"));
    }

    [Fact]
    public void A_daemon_that_was_started_anew_between_two_calls_is_connected_to_again()
    {
        using XenStore store = XenStore.Open();
        store.Write("/local/domain/5/name", "five");
        Assert.True(store.Knows(5));
        _daemon.Kill();
        _daemon.Start();
        store.Write("/b", "2");
        Assert.Equal("2", store.Read("/b"));
        Assert.False(store.Knows(5));
    }

    [Fact]
    public void A_daemon_that_is_gone_is_told_and_found_again_when_it_comes_back()
    {
        using XenStore store = XenStore.Open();
        _daemon.Kill();
        for (int i = 0; i < 2; i++)
        {
            XenUnavailableException e = Assert.Throws<XenUnavailableException>(() => store.Read("/a"));
            Assert.Contains(_daemon.Socket, e.Message, StringComparison.Ordinal);
            Assert.Contains("start the host again", e.Message, StringComparison.Ordinal);
        }

        _daemon.Start();
        Assert.Null(store.Read("/a"));
    }

    [Fact]
    public void A_transaction_ends_with_its_connection_and_nothing_of_it_is_done()
    {
        using XenStore store = XenStore.Open();
        using XenStoreTransaction transaction = store.BeginTransaction();
        transaction.Write("/a", "1");
        _daemon.Kill();
        _daemon.Start();
        XenUnavailableException e = Assert.Throws<XenUnavailableException>(() => transaction.Commit());
        Assert.Contains("Nothing of the transaction", e.Message, StringComparison.Ordinal);
        Assert.Null(store.Read("/a"));
        using XenStoreTransaction next = store.BeginTransaction();
        next.Write("/a", "2");
        Assert.True(next.Commit());
        Assert.Equal("2", store.Read("/a"));
    }

    [Fact]
    public void A_commit_whose_answer_is_lost_is_not_taken_for_undone()
    {
        using XenStore store = XenStore.Open();
        using XenStoreTransaction transaction = store.BeginTransaction();
        transaction.Write("/a", "1");
        _daemon.CutNext = (TransactionEnd, 0);
        XenUnavailableException e = Assert.Throws<XenUnavailableException>(() => transaction.Commit());
        Assert.Contains("It may have been done", e.Message, StringComparison.Ordinal);
        Assert.Equal("1", store.Read("/a"));
    }

    [Fact]
    public void Watches_are_there_again_after_the_connection_was_lost()
    {
        using XenStore store = XenStore.Open();
        store.Watch("/a", "kept");
        store.Watch("/b", "ended");
        Assert.Equal("kept", Next(store).Token);
        Assert.Equal("ended", Next(store).Token);
        Assert.True(store.Unwatch("/b", "ended"));
        _daemon.Kill();
        _daemon.Start();

        // What happened in between nobody tells: the first event of the new watch stands for it.
        Assert.Equal(new XenStoreEvent("/a", "kept"), Next(store));
        using XenStore other = XenStore.Open();
        other.Write("/b/x", "1");
        other.Write("/a/x", "1");
        Assert.Equal(new XenStoreEvent("/a/x", "kept"), Next(store));
        Assert.False(store.TryReadWatch(out _, TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task Who_waits_for_a_watch_finds_the_daemon_that_came_back()
    {
        using XenStore store = XenStore.Open();
        store.Watch("/a", "t");
        Next(store);
        Task<XenStoreEvent> waiting = Task.Run(() => Next(store), TestContext.Current.CancellationToken);
        _daemon.Kill();

        // It may see the loss before the daemon is back, and says so.
        XenStoreEvent? told = null;
        try
        {
            told = await waiting;
        }
        catch (XenUnavailableException)
        {
        }

        _daemon.Start();
        told ??= Next(store);
        Assert.Equal(new XenStoreEvent("/a", "t"), told);
    }

    [Fact]
    public async Task A_call_on_another_thread_takes_no_event_from_who_waits()
    {
        using XenStore store = XenStore.Open();
        store.Watch("/a", "t");
        Next(store);
        for (int i = 0; i < 200; i++)
        {
            Task<XenStoreEvent> waiting = Task.Run(() => Next(store), TestContext.Current.CancellationToken);
            store.Write($"/a/{i}", "");
            Assert.Null(store.Read("/none"));
            Assert.Equal($"/a/{i}", (await waiting.WaitAsync(Long, TestContext.Current.CancellationToken)).Path);
        }
    }

    [Fact]
    public async Task Disposing_ends_a_wait()
    {
        XenStore store = XenStore.Open(new XenStoreOptions { Limit = Long });
        Task call;
        try
        {
            _daemon.Hang();
            call = Task.Run(() => store.Read("/a"), TestContext.Current.CancellationToken);
            Assert.True(SpinWait.SpinUntil(() => _daemon.Requests > 0, Long));
        }
        finally
        {
            store.Dispose();
        }

        await Assert.ThrowsAnyAsync<Exception>(() => call.WaitAsync(Long / 2, TestContext.Current.CancellationToken));
        Assert.True(call.IsCompleted);
    }

    [Fact]
    public void A_directory_of_many_names_comes_whole()
    {
        using XenStore store = XenStore.Open();
        string[] names = [.. Enumerable.Range(0, 1000).Select(i => $"name-{i:D4}")];
        foreach (string name in names)
        {
            store.Write($"/many/{name}", "");
        }

        Assert.Equal(names, store.List("/many").Order(StringComparer.Ordinal));
    }

    private static XenStoreEvent Next(XenStore store)
    {
        Assert.True(store.WaitForWatch(Long, out XenStoreEvent? e, TestContext.Current.CancellationToken));
        return e;
    }

    private static Action<XenStore, CancellationToken> Cancellable(string name) => name switch
    {
        "read" => (s, t) => s.Read("/a", t),
        "write" => (s, t) => s.Write("/a", "1", t),
        "remove" => (s, t) => s.Remove("/a", t),
        "list" => (s, t) => s.List("/", t),
        "transaction" => (s, t) => s.BeginTransaction(t),
        "path" => (s, t) => s.GetDomainPath(1, t),
        "resume" => (s, t) => s.ResumeDomain(1, null, t),
        "knows" => (s, t) => s.Knows(1, t),
        "watch" => (s, t) => s.Watch("/a", "t", t),
        _ => (s, t) => s.Unwatch("/a", "t", t),
    };
}
