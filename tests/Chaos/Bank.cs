using System.Buffers.Binary;
using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Checkpointing.Restore;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Hypervisor.Model;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Images.Verification;
using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Chaos;

/// <summary>What the banks of a node have, by its latest checkpoint.</summary>
/// <param name="Balances">The sum of their balances.</param>
/// <param name="Waiting">What they have been given and have not taken.</param>
/// <param name="Sent">What they have sent since they booted.</param>
/// <param name="Received">What they have received.</param>
/// <param name="Channels">The channels, of lost nodes whose banks are here, too: by the two nodes the last batch sent, and the last one
/// delivered.</param>
internal sealed record Holdings(
    ulong Balances, ulong Waiting, ulong Sent, ulong Received,
    IReadOnlyDictionary<(string Here, string There), (long Sent, long Delivered)> Channels)
{
    /// <summary>Reads them from the images: nothing that the daemon says of itself counts.</summary>
    /// <param name="store">The node's store.</param>
    /// <param name="epoch">The checkpoint.</param>
    /// <exception cref="ChaosException">The store is damaged, or something is on its way still.</exception>
    internal static Holdings Read(string store, ulong epoch)
    {
        using DirectoryStore images = DirectoryStore.OpenReadOnly(store);
        if (Verifier.VerifyStore(images) is { Count: > 0 } findings)
        {
            throw new ChaosException($"{store}: {findings[0]}");
        }

        CheckpointManifest checkpoint = images.Checkpoints.Single(c => c.Epoch == epoch);
        var restorer = new Restorer(images);
        var sum = new Holdings(0, 0, 0, 0, new Dictionary<(string, string), (long, long)>());
        foreach (ManifestDomain domain in checkpoint.Domains)
        {
            var memory = new SavedMemory();
            restorer.ReadMemory(checkpoint.Id, domain.Uuid, memory);
            (ulong sent, ulong received) = BankWorkload.Turnover(memory);
            sum = sum with
            {
                Balances = sum.Balances + BankWorkload.Money(memory),
                Sent = sum.Sent + sent,
                Received = sum.Received + received,
            };
        }

        ChannelState channels = ChannelState.Decode(restorer.ReadNodeState(checkpoint));
        (string End, PeerState Peer)[] ends =
        [
            .. channels.Peers.Select(p => (checkpoint.Node, p)),
            .. channels.Hosted.SelectMany(h => h.Peers.Select(p => (h.Name, p))),
        ];
        if (ends.Select(e => e.Peer).FirstOrDefault(p => p.Kept.Length > 0) is { } busy)
        {
            throw new ChaosException($"{store}: {busy.Kept.Length} batches to {busy.Name} are under way while all guests stand still");
        }

        return sum with
        {
            Waiting = MoneyIn(channels.Uplink),
            Channels = ends.ToDictionary(e => (e.End, e.Peer.Name), e => (e.Peer.Acknowledged, e.Peer.Delivered)),
        };
    }

    // As GuestNetworkUplink.Save writes it: the receiver, the message's length, the message, which begins with the amount.
    private static ulong MoneyIn(ReadOnlySpan<byte> messages)
    {
        ulong sum = 0;
        while (!messages.IsEmpty)
        {
            sum += BinaryPrimitives.ReadUInt64LittleEndian(messages[20..]);
            messages = messages[(20 + BinaryPrimitives.ReadInt32LittleEndian(messages[16..]))..];
        }

        return sum;
    }

    private sealed class SavedMemory : IPageSink, IGuestView
    {
        private static readonly byte[] Zeros = new byte[ModelGuest.PageSize];

        private readonly Dictionary<long, byte[]> _pages = [];

        public ulong StepCounter => 0;

        public long BlockCount => 0;

        public void AddPages(ReadOnlySpan<PfnRun> runs, ReadOnlySpan<byte> data)
        {
            foreach (PfnRun run in runs)
            {
                for (long pfn = run.First; pfn < run.End; pfn++)
                {
                    _pages[pfn] = data[..ModelGuest.PageSize].ToArray();
                    data = data[ModelGuest.PageSize..];
                }
            }
        }

        public void AddZeroPages(PfnRun run)
        {
            for (long pfn = run.First; pfn < run.End; pfn++)
            {
                _pages[pfn] = Zeros;
            }
        }

        public ReadOnlySpan<byte> ReadPage(long pfn) => _pages[pfn];

        public ReadOnlySpan<byte> ReadBlock(long block) => throw new NotSupportedException();
    }
}
