using System.Text.Json;
using XenTwoLevelCkpt.Channels;
using V1 = XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Daemon.Page;

/// <summary>Turns what the node does, and what it hears of others, into the page's marks.</summary>
/// <remarks>
/// Of its own checkpoints a node knows all. Of its peers it hears indexes, by batches and heartbeats: that a peer has taken a
/// checkpoint with such an index or a higher one, not when, and not each of them. The page says which is which.
/// </remarks>
/// <param name="node">The node; may still be starting.</param>
/// <param name="history">Gets the marks.</param>
internal sealed class PageFeed(NodeDaemon node, PageHistory history)
{
    /// <summary>How often the links are looked at: what changes twice meanwhile is heard once.</summary>
    internal static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(250);

    // Of messages of failures, which name guests.
    private const int MaxText = 200;

    private readonly Dictionary<string, PeerStatus> _heard = new(StringComparer.Ordinal);
    private PageNow? _told;
    private bool _began;

    /// <summary>Goes on until it is cancelled.</summary>
    /// <param name="cancellationToken">Ends it.</param>
    internal async Task RunAsync(CancellationToken cancellationToken)
    {
        long after = 0;
        Task<V1.Event> next = node.Events.ReadAsync(after, cancellationToken);
        while (!cancellationToken.IsCancellationRequested)
        {
            await Task.WhenAny(next, Task.Delay(Poll, cancellationToken)).ConfigureAwait(false);
            while (next.IsCompletedSuccessfully)
            {
                V1.Event happened = await next.ConfigureAwait(false);
                after = (long)happened.Sequence;
                Take(happened);
                next = node.Events.ReadAsync(after, cancellationToken);
            }

            Hear();
            Tell();
        }
    }

    private void Take(V1.Event e)
    {
        long at = e.At.ToDateTimeOffset().ToUnixTimeMilliseconds();
        switch (e.KindCase)
        {
            case V1.Event.KindOneofCase.State when e.State == V1.NodeState.Ready && !_began:
                _began = true;
                INodeMessages messages = node.Messages!;
                Add(new PageMark("start", node.Settings.Node, at)
                {
                    Index = messages.DurableIndex,
                    Incarnation = messages.Incarnation,
                    Text = messages.AwaitsRecovery ? "awaits a recovery" : null,
                });
                break;
            case V1.Event.KindOneofCase.CheckpointTaken:
                AddCheckpoint(e.CheckpointTaken, at);
                break;
            case V1.Event.KindOneofCase.CheckpointFailed:
                string message = e.CheckpointFailed.Message;
                Add(new PageMark("failed", node.Settings.Node, at)
                {
                    Text = message.Length > MaxText ? message[..MaxText] + "..." : message,
                });
                break;
            case V1.Event.KindOneofCase.Recovered:
                Add(new PageMark(
                    e.Recovered.Action == V1.RecoverAction.RollBack ? "rollback" : "survive", node.Settings.Node, at)
                {
                    Index = (long)e.Recovered.Index,
                    Incarnation = node.Messages!.Incarnation,
                });
                break;
            default:
                // How things are says it, or nobody draws it.
                break;
        }
    }

    private void AddCheckpoint(V1.CheckpointReport report, long at)
    {
        PageMessage? by = report.ForcedBy is { } forcing ? new PageMessage(forcing.Node, (long)forcing.Sn) : null;
        if (by is not null && _heard.GetValueOrDefault(by.Node) is var before && (before?.Index ?? -1) < by.Index)
        {
            // It was heard by that message, if the links were not looked at since.
            Add(new PageMark("heard", by.Node, at) { Index = by.Index });
            if (before is not null)
            {
                _heard[by.Node] = before with { Index = by.Index };
            }
        }

        Add(new PageMark(
            report.Cause switch
            {
                V1.CheckpointCause.Forced => "forced",
                V1.CheckpointCause.Recovery => "other",
                _ => "basic",
            },
            node.Settings.Node, at)
        {
            Index = (long)report.Index,
            By = by,
            Text = report.Cause == V1.CheckpointCause.Requested
                ? report.Label.Length > 0 ? $"asked for: {report.Label}" : "asked for"
                : null,
        });
    }

    private void Hear()
    {
        long at = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds();
        foreach (PeerStatus peer in node.Messages?.Peers ?? [])
        {
            _heard.TryGetValue(peer.Name, out PeerStatus? before);
            if (before?.Connected != peer.Connected && (peer.Connected || before is not null))
            {
                Add(new PageMark(peer.Connected ? "up" : "down", peer.Name, at));
            }

            bool began = before?.LastHeard is null || before.Incarnation != peer.Incarnation;
            if (peer.LastHeard is not null && (began || before!.Index != peer.Index))
            {
                Add(new PageMark("heard", peer.Name, at)
                {
                    Index = peer.Index,
                    Incarnation = began ? peer.Incarnation : null,
                });
            }

            _heard[peer.Name] = peer;
        }
    }

    private void Tell()
    {
        INodeMessages? messages = node.Messages;
        PeerStatus[] peers = [.. messages?.Peers ?? []];
        bool awaits = messages?.AwaitsRecovery == true;
        string state = $"{node.State}";
        var now = new PageNow(
            0,
            char.ToLowerInvariant(state[0]) + state[1..],
            awaits,
            awaits ? null : messages?.Index,
            messages?.DurableIndex,
            messages?.Incarnation,
            messages is not null && peers.All(p => p.LastHeard is not null)
                ? peers.Select(p => p.DurableIndex).Append(messages.DurableIndex).Min()
                : null,
            Array.ConvertAll(peers, p => new PagePeer(
                p.Name, p.Connected, p.LastHeard?.ToUnixTimeSeconds(), p.Index, p.DurableIndex, p.Incarnation, p.Problem)));
        if (_told is { } told && told with { Peers = now.Peers } == now && told.Peers.SequenceEqual(now.Peers))
        {
            return;
        }

        _told = now;
        history.SetNow(JsonSerializer.SerializeToUtf8Bytes(
            now with { At = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds() }, PageJson.Default.PageNow));
    }

    private void Add(PageMark mark) => history.Add(JsonSerializer.SerializeToUtf8Bytes(mark, PageJson.Default.PageMark));
}
