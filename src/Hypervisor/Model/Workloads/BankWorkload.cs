using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Hypervisor.Model;

/// <summary>
/// Accounts that send money to accounts of other guests, one transfer a step. The balances of all banks and the
/// money in flight always add up to what the banks booted with.
/// </summary>
/// <remarks>
/// Header words: magic, generator state, accounts, first PFN, peers, money sent, money received; the peers'
/// UUIDs from byte 128 on. Balances are words from the first PFN on. A message is u64 amount, u64 account,
/// little-endian.
/// </remarks>
public sealed class BankWorkload : IWorkload
{
    /// <summary>The most peers: as many UUIDs as the header page has room for.</summary>
    public const int MaxPeers = (ModelGuest.PageSize - PeersOffset) / 16;

    /// <summary>Bytes of a message.</summary>
    public const int MessageLength = 16;

    /// <summary>"XTLBANK1".</summary>
    internal const ulong MagicWord = 0x314B_4E41_424C_5458;

    private const int Generator = 1;
    private const int Accounts = 2;
    private const int FirstPfn = 3;
    private const int Peers = 4;
    private const int SentWord = 5;
    private const int ReceivedWord = 6;
    private const int PeersOffset = 128;
    private const int BalancesPerPage = ModelGuest.PageSize / sizeof(ulong);

    private readonly ulong _seed;
    private readonly int _accounts;
    private readonly ulong _balance;
    private readonly Guid[] _peers;

    /// <summary>Creates the program.</summary>
    /// <param name="seed">Decides accounts, amounts and receivers.</param>
    /// <param name="accounts">Accounts of this guest; all banks of a network have the same number.</param>
    /// <param name="balance">Money of each account at boot.</param>
    /// <param name="peers">The guests that money goes to; none for transfers within the guest.</param>
    public BankWorkload(ulong seed = 1, int accounts = 4096, ulong balance = 1000, params Guid[] peers)
    {
        ArgumentNullException.ThrowIfNull(peers);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(accounts);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(peers.Length, MaxPeers, nameof(peers));
        _seed = seed;
        _accounts = accounts;
        _balance = balance;
        _peers = [.. peers];
    }

    /// <inheritdoc/>
    public void Boot(ModelVcpu vcpu)
    {
        ArgumentNullException.ThrowIfNull(vcpu);
        Header.RequireBuffer(vcpu, Header.DataPfn, (_accounts + BalancesPerPage - 1) / BalancesPerPage);
        Span<byte> page = vcpu.WritePage(Header.Pfn);
        Span<ulong> header = Header.Words(page);
        header[Header.Magic] = MagicWord;
        header[Generator] = SplitMix.Mix(_seed);
        header[Accounts] = (ulong)_accounts;
        header[FirstPfn] = (ulong)Header.DataPfn;
        header[Peers] = (ulong)_peers.Length;
        MemoryMarshal.AsBytes(_peers.AsSpan()).CopyTo(page[PeersOffset..]);
        for (int account = 0; account < _accounts; account++)
        {
            Balance(vcpu, header, account) = _balance;
        }
    }

    /// <inheritdoc/>
    public void Step(ModelVcpu vcpu)
    {
        ArgumentNullException.ThrowIfNull(vcpu);
        Span<byte> page = vcpu.WritePage(Header.Pfn);
        Span<ulong> header = Header.Words(page);
        Span<byte> message = stackalloc byte[MessageLength];
        while (vcpu.TryReceive(message, out _))
        {
            ulong received = BinaryPrimitives.ReadUInt64LittleEndian(message);
            ulong account = BinaryPrimitives.ReadUInt64LittleEndian(message[8..]);
            Balance(vcpu, header, (long)(account % header[Accounts])) += received;
            header[ReceivedWord] += received;
        }

        ref ulong generator = ref header[Generator];
        ref ulong from = ref Balance(
            vcpu, header, SplitMix.Below(SplitMix.Next(ref generator), (long)header[Accounts]));
        ulong amount = (ulong)SplitMix.Below(SplitMix.Next(ref generator), (long)(from / 2) + 1);
        long to = SplitMix.Below(SplitMix.Next(ref generator), (long)header[Accounts]);
        from -= amount;
        int peers = (int)header[Peers];
        if (peers == 0)
        {
            Balance(vcpu, header, to) += amount;
            return;
        }

        header[SentWord] += amount;
        int peer = (int)SplitMix.Below(SplitMix.Next(ref generator), peers);
        BinaryPrimitives.WriteUInt64LittleEndian(message, amount);
        BinaryPrimitives.WriteUInt64LittleEndian(message[8..], (ulong)to);
        vcpu.Send(MemoryMarshal.Cast<byte, Guid>(page[PeersOffset..])[peer], message);
    }

    /// <summary>The sum of a guest's balances.</summary>
    /// <param name="view">The guest; it must not run meanwhile.</param>
    public static ulong Money(IGuestView view)
    {
        ArgumentNullException.ThrowIfNull(view);
        ReadOnlySpan<ulong> header = Header.Read(view);
        ulong sum = 0;
        for (long account = 0; account < (long)header[Accounts]; account++)
        {
            ReadOnlySpan<ulong> page = Header.Words(
                view.ReadPage((long)header[FirstPfn] + (account / BalancesPerPage)));
            sum += page[(int)(account % BalancesPerPage)];
        }

        return sum;
    }

    /// <summary>The money in messages on their way to a guest.</summary>
    /// <param name="network">The network.</param>
    /// <param name="to">The UUID of the receiving guest.</param>
    public static ulong MoneyInFlight(LocalGuestNetwork network, Guid to)
    {
        ArgumentNullException.ThrowIfNull(network);
        ulong sum = 0;
        foreach (ReadOnlyMemory<byte> message in network.InFlight(to))
        {
            sum += BinaryPrimitives.ReadUInt64LittleEndian(message.Span);
        }

        return sum;
    }

    /// <summary>Money that a guest has sent and received since it booted.</summary>
    /// <param name="view">The guest; it must not run meanwhile.</param>
    public static (ulong Sent, ulong Received) Turnover(IGuestView view)
    {
        ArgumentNullException.ThrowIfNull(view);
        ReadOnlySpan<ulong> header = Header.Read(view);
        return (header[SentWord], header[ReceivedWord]);
    }

    private static ref ulong Balance(ModelVcpu vcpu, Span<ulong> header, long account)
    {
        long pfn = (long)header[FirstPfn] + (account / BalancesPerPage);
        return ref Header.Words(vcpu.WritePage(pfn))[(int)(account % BalancesPerPage)];
    }
}
