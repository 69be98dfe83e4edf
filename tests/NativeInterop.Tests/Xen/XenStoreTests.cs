using XenTwoLevelCkpt.NativeInterop.Libc;
using XenTwoLevelCkpt.NativeInterop.Xen;
using Xunit;

#pragma warning disable xUnit1051 // Calls end by their own limits, which these tests are about.

namespace XenTwoLevelCkpt.NativeInterop.Tests.Xen;

/// <summary>The xenstore client: the real library, a daemon that stands in.</summary>
[Collection("xenstored")]
public sealed class XenStoreTests(FakeXenstored daemon) : IClassFixture<FakeXenstored>, IDisposable
{
    private static readonly TimeSpan Long = TimeSpan.FromMinutes(3);

    private readonly FakeXenstored _daemon = daemon;
    private readonly XenStore _store = XenStore.Open();
    private readonly string _root = $"/test/{Guid.NewGuid():N}";

    public void Dispose() => _store.Dispose();

    [Theory]
    [InlineData("suspend")]
    [InlineData("")]
    [InlineData("Grüße, 世界")]
    public void A_value_comes_back(string value)
    {
        _store.Write($"{_root}/a", value);
        Assert.Equal(value, _store.Read($"{_root}/a"));
        Assert.True(_store.Exists($"{_root}/a"));
    }

    [Fact]
    public void A_node_that_does_not_exist_is_null()
    {
        Assert.Null(_store.Read($"{_root}/none"));
        Assert.False(_store.Exists($"{_root}/none"));
        Assert.Empty(_store.List($"{_root}/none"));
    }

    [Fact]
    public void Children_are_listed_by_name()
    {
        _store.Write($"{_root}/b", "1");
        _store.Write($"{_root}/a/deep", "2");
        Assert.Equal(["a", "b"], _store.List(_root).Order(StringComparer.Ordinal));
        Assert.Empty(_store.List($"{_root}/b"));
    }

    [Fact]
    public void Removing_takes_all_below_along()
    {
        _store.Write($"{_root}/a/deep", "2");
        Assert.True(_store.Remove(_root));
        Assert.Null(_store.Read($"{_root}/a/deep"));
        Assert.False(_store.Remove($"{_root}/a/deep"));
    }

    [Fact]
    public void An_invalid_path_is_an_error()
    {
        XenException e = Assert.Throws<XenException>(() => _store.Read("/a path"));
        Assert.Equal(Errno.EINVAL, e.Errno);
        Assert.Contains("/a path", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_value_that_is_too_long_is_an_error_and_the_connection_survives()
    {
        Assert.Throws<XenException>(() => _store.Write($"{_root}/a", new string('x', 5000)));
        Assert.Null(_store.Read($"{_root}/a"));
    }

    [Fact]
    public void A_committed_transaction_changes_all_at_once()
    {
        using XenStoreTransaction transaction = _store.BeginTransaction();
        transaction.Write($"{_root}/a", "1");
        transaction.Write($"{_root}/b", "2");
        Assert.Equal("1", transaction.Read($"{_root}/a"));
        Assert.Equal(["a", "b"], transaction.List(_root).Order(StringComparer.Ordinal));
        Assert.Null(_store.Read($"{_root}/a"));
        Assert.True(transaction.Commit());
        Assert.Equal("2", _store.Read($"{_root}/b"));
    }

    [Fact]
    public void A_transaction_that_lost_a_race_changes_nothing()
    {
        _store.Write($"{_root}/a", "suspend");
        using XenStoreTransaction transaction = _store.BeginTransaction();
        Assert.Equal("suspend", transaction.Read($"{_root}/a"));
        transaction.Write($"{_root}/a", "withdrawn");
        _store.Write($"{_root}/a", "acknowledged");
        Assert.False(transaction.Commit());
        Assert.Equal("acknowledged", _store.Read($"{_root}/a"));
    }

    [Fact]
    public void A_transaction_that_is_only_disposed_changes_nothing()
    {
        using (XenStoreTransaction transaction = _store.BeginTransaction())
        {
            transaction.Write($"{_root}/a", "1");
        }

        Assert.Null(_store.Read($"{_root}/a"));
    }

    [Fact]
    public void A_transaction_is_used_once()
    {
        using XenStoreTransaction transaction = _store.BeginTransaction();
        Assert.True(transaction.Commit());
        Assert.Throws<ObjectDisposedException>(() => transaction.Read(_root));
        Assert.Throws<ObjectDisposedException>(() => transaction.Commit());
    }

    [Fact]
    public void Disposed_transactions_are_given_back()
    {
        using (XenStoreTransaction transaction = _store.BeginTransaction())
        {
            transaction.Write($"{_root}/a", "1");
            Assert.Equal(1, _daemon.OpenTransactions);
        }

        Assert.Equal(0, _daemon.OpenTransactions);
    }

    [Fact]
    public void A_watch_reports_once_at_first_and_then_each_change()
    {
        _store.Write($"{_root}/a", "1");
        _store.Watch(_root, "token");
        Assert.Equal(new XenStoreEvent(_root, "token"), Next());
        using XenStore other = XenStore.Open();
        other.Write($"{_root}/a", "2");
        Assert.Equal(new XenStoreEvent($"{_root}/a", "token"), Next());
        Assert.False(_store.TryReadWatch(out _));
        Assert.False(_store.WaitForWatch(TimeSpan.Zero, out _, TestContext.Current.CancellationToken));
    }

    [Fact]
    public void An_ended_watch_is_silent()
    {
        _store.Watch(_root, "token");
        Next();
        _store.Write($"{_root}/a", "1");
        Assert.True(_store.Unwatch(_root, "token"));
        Assert.False(_store.TryReadWatch(out _));
        Assert.False(_store.Unwatch(_root, "token"));
        _store.Write($"{_root}/a", "2");
        Assert.False(_store.TryReadWatch(out _));
    }

    [Fact]
    public async Task Waiting_for_a_watch_ends_with_the_event()
    {
        _store.Watch(_root, "token");
        Next();
        Task<XenStoreEvent> wait = Task.Run(Next, TestContext.Current.CancellationToken);
        using XenStore other = XenStore.Open();
        other.Write($"{_root}/late", "2");
        Assert.Equal($"{_root}/late", (await wait).Path);
    }

    [Fact]
    public async Task Waiting_for_a_watch_can_be_cancelled()
    {
        using var cancel = new CancellationTokenSource();
        Task wait = Task.Run(
            () => _store.WaitForWatch(Timeout.InfiniteTimeSpan, out _, cancel.Token),
            TestContext.Current.CancellationToken);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => wait);
    }

    [Fact]
    public void A_domain_has_a_path_whether_or_not_it_exists() =>
        Assert.Equal("/local/domain/7", _store.GetDomainPath(7));

    [Fact]
    public void Resuming_a_domain_that_xenstored_does_not_know_is_an_error()
    {
        _store.Write("/local/domain/6/name", "six");
        _store.ResumeDomain(6);
        Assert.Throws<XenNotFoundException>(() => _store.ResumeDomain(7));
    }

    private XenStoreEvent Next()
    {
        Assert.True(_store.WaitForWatch(Long, out XenStoreEvent? e, TestContext.Current.CancellationToken));
        return e;
    }
}

/// <summary>What becomes of a client whose daemon dies.</summary>
[Collection("xenstored")]
public sealed class XenStoreLossTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_daemon_that_dies_is_an_error_and_no_endless_wait(bool watching)
    {
        using var daemon = new FakeXenstored();
        using XenStore store = XenStore.Open();
        if (watching)
        {
            store.Watch("/a", "token");
        }

        store.Write("/a", "1");
        daemon.Kill();
        for (int i = 0; i < 2; i++)
        {
            await Task.Run(
                () => Assert.Throws<XenUnavailableException>(() => store.Read("/a")),
                TestContext.Current.CancellationToken)
                .WaitAsync(TimeSpan.FromMinutes(5), TestContext.Current.CancellationToken);
        }
    }
}

/// <summary>What a machine without xenstored answers.</summary>
[Collection("xenstored")]
public sealed class XenStoreMissingTests
{
    [Fact]
    public void A_store_that_is_not_there_names_the_places_tried()
    {
        Assert.SkipWhen(
            File.Exists("/var/run/xenstored/socket") || File.Exists("/dev/xen/xenbus"), "This machine has a xenstored.");
        XenUnavailableException e = Assert.Throws<XenUnavailableException>(() => XenStore.Open());
        Assert.Contains("/var/run/xenstored/socket", e.Message, StringComparison.Ordinal);
        Assert.Contains("/dev/xen/xenbus", e.Message, StringComparison.Ordinal);
    }
}
