using System.Buffers.Binary;

namespace XenTwoLevelCkpt.Hypervisor.Model;

/// <summary>The model's virtual CPU state and its encoding as an HVM context.</summary>
/// <remarks>
/// Encoded little-endian: u64 magic, u64 steps, u64 registers[16], u64 check word. The bytes are a function of
/// the state alone.
/// </remarks>
internal sealed class VcpuContext
{
    internal const int RegisterCount = 16;
    internal const int EncodedLength = (RegisterCount + 3) * sizeof(ulong);
    internal const uint KiloHertz = 2_000_000;

    /// <summary>Guest time that one step takes.</summary>
    internal const ulong NanosecondsPerStep = 1_000;

    /// <summary>"XTLVCPU1".</summary>
    private const ulong Magic = 0x3155_5043_564C_5458;

    // Indices of hvm/params.h: store page and event channel, console page and event channel.
    private static readonly Dictionary<uint, ulong> Parameters = new()
    {
        [1] = PhysicalMap.SpecialEnd - 2,
        [2] = 1,
        [17] = PhysicalMap.SpecialEnd - 1,
        [18] = 2,
    };

    internal ulong Steps { get; set; }

    internal ulong[] Registers { get; } = new ulong[RegisterCount];

    internal uint TscIncarnation { get; private set; }

    internal DomainRegisters Capture(GuestKind kind)
    {
        var tsc = new TscInfo(0, Steps * NanosecondsPerStep, KiloHertz, TscIncarnation);
        if (kind == GuestKind.Pv)
        {
            // A PV guest's vcpu state is not an HVM context; it stays with the saver of libxenguest.
            return new DomainRegisters(default, new Dictionary<uint, ulong>(), tsc);
        }

        byte[] context = new byte[EncodedLength];
        BinaryPrimitives.WriteUInt64LittleEndian(context, Magic);
        BinaryPrimitives.WriteUInt64LittleEndian(context.AsSpan(8), Steps);
        for (int i = 0; i < RegisterCount; i++)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(context.AsSpan(16 + (i * 8)), Registers[i]);
        }

        BinaryPrimitives.WriteUInt64LittleEndian(context.AsSpan(EncodedLength - 8), Check(context));
        return new DomainRegisters(context, Parameters, tsc);
    }

    internal void Restore(DomainRegisters registers)
    {
        ReadOnlySpan<byte> context = registers.HvmContext.Span;
        if (context.Length != EncodedLength || BinaryPrimitives.ReadUInt64LittleEndian(context) != Magic
            || BinaryPrimitives.ReadUInt64LittleEndian(context[^8..]) != Check(context))
        {
            throw new HypervisorException("The registers are not those of a model domain, or they are damaged.");
        }

        Steps = BinaryPrimitives.ReadUInt64LittleEndian(context[8..]);
        for (int i = 0; i < RegisterCount; i++)
        {
            Registers[i] = BinaryPrimitives.ReadUInt64LittleEndian(context[(16 + (i * 8))..]);
        }

        TscIncarnation = registers.Tsc.Incarnation + 1;
    }

    private static ulong Check(ReadOnlySpan<byte> context)
    {
        ulong check = 0;
        for (int i = 0; i < EncodedLength - 8; i += 8)
        {
            check = SplitMix.Mix(check ^ BinaryPrimitives.ReadUInt64LittleEndian(context[i..]));
        }

        return check;
    }
}
