namespace XenTwoLevelCkpt.XlStream;

/// <summary>Keeps everything of a stream but its pages: what <see cref="XlStreamWriter"/> needs to write it again.
/// </summary>
/// <remarks>A subclass takes the pages (<see cref="XlVisitor.OnPages"/>). The state is whole once the reader has
/// returned.</remarks>
public abstract class XlStateVisitor : XlVisitor
{
    private readonly SortedDictionary<uint, XlPvVcpu> _vcpus = [];
    private byte[] _cpuidPolicy = [];
    private byte[] _msrPolicy = [];
    private byte[] _hvmContext = [];
    private byte[] _sharedInfo = [];
    private IReadOnlyDictionary<uint, ulong> _hvmParams = new Dictionary<uint, ulong>();
    private XlP2mFrames? _p2m;
    private XlTsc _tsc;
    private (byte Width, byte Levels) _pvInfo;

    /// <summary>The configuration; null for a bare libxc stream.</summary>
    public string? ConfigJson { get; private set; }

    /// <summary>How the guest is virtualised.</summary>
    public XlGuestKind Kind { get; private set; }

    /// <summary>The release of the Xen that wrote the stream.</summary>
    public (int Major, int Minor) Xen { get; private set; }

    /// <summary>The state of an HVM or PVH guest.</summary>
    /// <exception cref="InvalidOperationException">This is a PV guest.</exception>
    public XlHvmState ToHvmState() => Kind == XlGuestKind.Hvm
        ? new XlHvmState(_cpuidPolicy, _msrPolicy, _tsc, _hvmParams, _hvmContext)
        : throw new InvalidOperationException($"The stream is of a guest of kind {Kind}.");

    /// <summary>The state of a PV guest.</summary>
    /// <exception cref="InvalidOperationException">This is no PV guest, or its stream was not read.</exception>
    public XlPvState ToPvState() => Kind == XlGuestKind.Pv && _p2m is not null
        ? new XlPvState(
            _pvInfo.Width, _pvInfo.Levels, _cpuidPolicy, _msrPolicy, _p2m, _tsc, _sharedInfo, [.. _vcpus.Values])
        : throw new InvalidOperationException($"The stream is of a guest of kind {Kind}.");

    /// <inheritdoc/>
    public override void OnConfig(string json) => ConfigJson = json;

    /// <inheritdoc/>
    public override void OnDomain(XlGuestKind kind, int xenMajor, int xenMinor) =>
        (Kind, Xen) = (kind, (xenMajor, xenMinor));

    /// <inheritdoc/>
    public override void OnCpuidPolicy(ReadOnlySpan<byte> leaves) => _cpuidPolicy = leaves.ToArray();

    /// <inheritdoc/>
    public override void OnMsrPolicy(ReadOnlySpan<byte> entries) => _msrPolicy = entries.ToArray();

    /// <inheritdoc/>
    public override void OnPvInfo(byte guestWidth, byte pageTableLevels) => _pvInfo = (guestWidth, pageTableLevels);

    /// <inheritdoc/>
    public override void OnP2mFrames(XlP2mFrames p2m) => _p2m = p2m;

    /// <inheritdoc/>
    public override void OnTsc(XlTsc tsc) => _tsc = tsc;

    /// <inheritdoc/>
    public override void OnHvmParams(IReadOnlyDictionary<uint, ulong> values) => _hvmParams = values;

    /// <inheritdoc/>
    public override void OnHvmContext(ReadOnlySpan<byte> context) => _hvmContext = context.ToArray();

    /// <inheritdoc/>
    public override void OnSharedInfo(ReadOnlySpan<byte> page) => _sharedInfo = page.ToArray();

    /// <inheritdoc/>
    public override void OnVcpu(uint id, XlVcpuPart part, ReadOnlySpan<byte> context)
    {
        byte[] copy = context.ToArray();
        if (!_vcpus.TryGetValue(id, out XlPvVcpu? vcpu))
        {
            vcpu = new XlPvVcpu(id, default, default, default, default);
        }

        _vcpus[id] = part switch
        {
            XlVcpuPart.Basic => vcpu with { Basic = copy },
            XlVcpuPart.Extended => vcpu with { Extended = copy },
            XlVcpuPart.Xsave => vcpu with { Xsave = copy },
            _ => vcpu with { Msrs = copy },
        };
    }
}
