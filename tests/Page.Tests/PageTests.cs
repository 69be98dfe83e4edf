using System.Collections.Concurrent;
using System.Globalization;
using Microsoft.Playwright;
using Xunit;

namespace XenTwoLevelCkpt.Page.Tests;

/// <summary>The page in a real browser, served by a real daemon.</summary>
public sealed class PageTests
{
    private const string Chromium = "/usr/bin/chromium";

    // A directory for pictures of the page, to look at.
    private static readonly string? Screenshots = Environment.GetEnvironmentVariable("XTL_SCREENSHOTS");

    [Fact]
    public async Task The_page_shows_what_happens_as_it_happens_and_outlives_the_daemon()
    {
        Assert.SkipUnless(File.Exists(Chromium), "chromium is missing; './dev setup' installs it.");
        using var pair = new Pair();
        await pair.StartAsync("alpha");
        await pair.StartAsync("beta");
        await pair.LinkedAsync();
        using IPlaywright playwright = await Playwright.CreateAsync();
        await using IBrowser browser = await playwright.Chromium.LaunchAsync(new() { ExecutablePath = Chromium, Timeout = 300_000 });
        await using var page = await View.OpenAsync(browser, pair.Page, ColorScheme.Light);

        // Its own checkpoints, and what is heard of the other node. A label is an operator's text, and stays text.
        const string Hostile = "<img src=x onerror=window.broken=1>";
        ulong first = await pair.CheckpointAsync("alpha", Hostile);
        await page.HasEventAsync("alpha", $"basic checkpoint {first}, asked for: {Hostile}");
        await page.SeesAsync("rect.basic", 1);
        await page.HasEventAsync("beta", $"heard index {first}");
        Assert.False(await page.EvaluateAsync<bool>("() => 'broken' in window || document.images.length > 0"));

        // One that a message forces, with the message.
        ulong second = await pair.CheckpointAsync("beta");
        await page.HasEventAsync("alpha", $"forced checkpoint {second}, by a message of beta with index {second}");
        await page.SeesAsync("rect.forced", 1);
        await page.SeesAsync("path.message", 1);
        await page.HasNodeAsync("alpha", "known", "ready", $"{second}", $"{second}", "0");
        await page.HasNodeAsync("beta", "heard", "link up", $"{second}", $"{second}", "0");
        await page.SaysAsync("#summary", $"recovery line {second}");
        await page.SeesAsync("path.line", 1);

        // The other node fails, this one is ahead, and goes back.
        await pair.EndAsync("beta", "KILL");
        await page.HasEventAsync("beta", "the link is down");
        ulong third = await pair.CheckpointAsync("alpha");
        await page.HasEventAsync("alpha", $"basic checkpoint {third}, asked for");
        await pair.StartAsync("beta");
        await pair.RecoverAsync();
        await page.HasEventAsync("alpha", $"back to checkpoint {second}: recovery, incarnation 1");
        await page.HasEventAsync("alpha", $"basic checkpoint {third}, asked for (undone)");
        await page.HasEventAsync("beta", $"heard index {second}, incarnation 1");
        await page.SeesAsync("path.rollback", 1);
        await page.SeesAsync("rect.basic.undone", 1);
        await page.HasNodeAsync("alpha", "known", "ready", $"{second}", $"{second}", "1");
        await page.SaysAsync("#summary", $"recovery line {second}");

        // A page that is opened late shows the same.
        await using (var late = await View.OpenAsync(browser, pair.Page, ColorScheme.Dark))
        {
            await late.HasEventAsync("alpha", $"back to checkpoint {second}: recovery, incarnation 1");
            string[] all = await page.EventsAsync();
            await late.SeesAsync("#events tbody tr", all.Length);
            Assert.Equal(all, await late.EventsAsync());
            await late.ShootAsync("dark");
            Assert.Empty(late.Errors);
        }

        await page.ShootAsync("light");

        // The daemon is started anew; what the browser says of an address where nobody listens is no error of the page.
        Assert.Empty(page.Errors);
        string[] before = await page.EventsAsync();
        await pair.EndAsync("alpha", "TERM");
        await page.SeesAsync("#connection[data-state=lost]", 1);
        await pair.StartAsync("alpha");
        await page.SeesAsync("#connection[data-state=live]", 1);
        await page.HasEventAsync("alpha", $"the daemon started at checkpoint {second}, incarnation 1; it awaits a recovery");
        await page.SaysAsync("[role=alert]", "awaits a recovery");
        await page.SeesAsync("path.failure", 1);
        await pair.RecoverAsync();
        ulong fourth = await pair.CheckpointAsync("beta");
        await page.HasEventAsync("alpha", $"forced checkpoint {fourth}, by a message of beta with index {fourth}");
        Assert.Equal(before, (await page.EventsAsync())[..before.Length]);
        await page.ShootAsync("restarted");
        Assert.DoesNotContain(page.Errors, e => !e.Contains("net::ERR_", StringComparison.Ordinal));
    }

    [Fact]
    public async Task The_page_is_usable_by_keyboard_and_by_its_names()
    {
        Assert.SkipUnless(File.Exists(Chromium), "chromium is missing; './dev setup' installs it.");
        using var pair = new Pair();
        await pair.StartAsync("alpha");
        using IPlaywright playwright = await Playwright.CreateAsync();
        await using IBrowser browser = await playwright.Chromium.LaunchAsync(new() { ExecutablePath = Chromium, Timeout = 300_000 });
        await using var page = await View.OpenAsync(browser, pair.Page, ColorScheme.Light);
        await page.SeesAsync("rect.initial", 1);
        await page.HasNodeAsync("beta", "not heard of");
        await page.SaysAsync("#summary", "recovery line not known");

        // More than fits, so that there is something to scroll.
        for (int i = 0; i < 60; i++)
        {
            _ = await pair.CheckpointAsync("alpha");
        }

        await page.SeesAsync("rect.basic", 60);
        const string Place = "() => document.getElementById('scroll').scrollLeft";
        double end = await page.EvaluateAsync<double>(Place);
        Assert.True(end > 0, "the picture does not follow what happens");
        await page.KeyAsync("Tab");
        Assert.Equal("scroll", await page.EvaluateAsync<string>("() => document.activeElement.id"));
        await page.KeyAsync("ArrowLeft");
        await page.BecomesAsync($"() => document.getElementById('scroll').scrollLeft < {end.ToString(CultureInfo.InvariantCulture)}");
        Assert.Equal(
            ["Space-time diagram of the cluster", "Nodes", "Events, the newest first"],
            await page.EvaluateAsync<string[]>(
                "() => [document.querySelector('#picture title').textContent, ...[...document.querySelectorAll('caption')].map(c => c.textContent)]"));
        Assert.Empty(page.Errors);
    }

    /// <summary>An open page.</summary>
    private sealed class View : IAsyncDisposable
    {
        private readonly IBrowserContext _context;
        private readonly IPage _page;
        private readonly ConcurrentQueue<string> _errors = new();

        private View(IBrowserContext context, IPage page)
        {
            _context = context;
            _page = page;
            _page.SetDefaultTimeout(300_000);
            _page.Console += (_, message) =>
            {
                if (message.Type is "error" or "warning")
                {
                    _errors.Enqueue(message.Text);
                }
            };
            _page.PageError += (_, error) => _errors.Enqueue(error);
        }

        /// <summary>What the browser complained about.</summary>
        internal IEnumerable<string> Errors => _errors;

        internal static async Task<View> OpenAsync(IBrowser browser, string address, ColorScheme colours)
        {
            IBrowserContext context = await browser.NewContextAsync(new() { ColorScheme = colours });
            var view = new View(context, await context.NewPageAsync());
            _ = await view._page.GotoAsync(address);
            await view.SeesAsync("#connection[data-state=live]", 1);
            return view;
        }

        public ValueTask DisposeAsync() => _context.DisposeAsync();

        internal Task<T> EvaluateAsync<T>(string script) => _page.EvaluateAsync<T>(script);

        internal async Task BecomesAsync(string script) => _ = await _page.WaitForFunctionAsync(script);

        internal Task KeyAsync(string key) => _page.Keyboard.PressAsync(key);

        /// <summary>The picture has so many of them; the legend is not the picture.</summary>
        internal async Task SeesAsync(string what, int count) => _ = await _page.WaitForFunctionAsync(
            "([what, count]) => document.querySelectorAll(what.startsWith('#') ? what : '#drawing ' + what).length === count", new object[] { what, count });

        /// <summary>The table of events has one such row.</summary>
        internal Task HasEventAsync(string node, string text) => HasRowAsync("#events", $"{node}\t{text}");

        internal Task HasNodeAsync(params string[] cells) => HasRowAsync("#nodes", string.Join('\t', cells));

        internal async Task SaysAsync(string where, string text) => _ = await _page.WaitForFunctionAsync(
            "([where, text]) => { const e = document.querySelector(where); return !e.hidden && e.textContent.includes(text); }",
            new[] { where, text });

        /// <summary>The events, the oldest first, without the row's time.</summary>
        internal async Task<string[]> EventsAsync() => await _page.EvaluateAsync<string[]>(
            "() => [...document.querySelectorAll('#events tbody tr')].map(r => r.innerText.replace(/^[^\\t]*\\t/, '')).reverse()");

        internal async Task ShootAsync(string name)
        {
            if (Screenshots is not null)
            {
                _ = await _page.ScreenshotAsync(new() { Path = Path.Combine(Screenshots, name + ".png"), FullPage = true });
            }
        }

        private async Task HasRowAsync(string table, string row)
        {
            const string Count = "([table, row]) => [...document.querySelectorAll(table + ' tbody tr')]"
                + ".filter(r => ('\\t' + r.innerText + '\\t').includes('\\t' + row + '\\t') || r.innerText.startsWith(row + '\\t')).length";
            try
            {
                _ = await _page.WaitForFunctionAsync($"a => ({Count})(a) > 0", new[] { table, row });
            }
            catch (TimeoutException)
            {
                Assert.Fail($"no row '{row}':\n{await _page.InnerTextAsync(table)}");
            }

            Assert.Equal(1, await _page.EvaluateAsync<int>(Count, new[] { table, row }));
        }
    }
}
