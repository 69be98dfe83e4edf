using System.Buffers.Binary;

namespace XenTwoLevelCkpt.XlStream;

/// <summary>The records around the pages, and the limits of these: what differs between kinds of guests.</summary>
internal interface IGuestRecords
{
    /// <summary>The highest PFN that a receiver takes.</summary>
    long LastPfn { get; }

    bool HasPageTables { get; }

    /// <summary>What comes before the pages.</summary>
    void WriteStart(RecordOutput output);

    /// <summary>What comes after the pages, up to END.</summary>
    void WriteEnd(RecordOutput output);
}

/// <summary>Records that all kinds of guests have.</summary>
internal static class CommonRecords
{
    /// <summary>Records without content are left out, as the specification asks.</summary>
    internal static void WritePolicies(RecordOutput output, ReadOnlyMemory<byte> cpuid, ReadOnlyMemory<byte> msrs)
    {
        if (!cpuid.IsEmpty)
        {
            output.Record(LibxcRecordType.CpuidPolicy, cpuid.Span);
        }

        if (!msrs.IsEmpty)
        {
            output.Record(LibxcRecordType.MsrPolicy, msrs.Span);
        }
    }

    internal static void WriteTsc(RecordOutput output, XlTsc tsc)
    {
        Span<byte> body = stackalloc byte[LibxcFormat.TscSize];
        BinaryPrimitives.WriteUInt32LittleEndian(body, tsc.Mode);
        BinaryPrimitives.WriteUInt32LittleEndian(body[4..], tsc.KiloHertz);
        BinaryPrimitives.WriteUInt64LittleEndian(body[8..], tsc.ElapsedNanoseconds);
        BinaryPrimitives.WriteUInt32LittleEndian(body[16..], tsc.Incarnation);
        BinaryPrimitives.WriteUInt32LittleEndian(body[20..], 0);
        output.Record(LibxcRecordType.TscInfo, body);
    }
}

/// <summary>The records of an HVM or PVH guest.</summary>
internal sealed class HvmGuestRecords(XlHvmState state) : IGuestRecords
{
    public long LastPfn => LibxcFormat.PfnLimit - 1;

    public bool HasPageTables => false;

    public void WriteStart(RecordOutput output)
    {
        CommonRecords.WritePolicies(output, state.CpuidPolicy, state.MsrPolicy);
        output.Record(LibxcRecordType.StaticDataEnd);
    }

    // The specification has HVM_PARAMS before HVM_CONTEXT: parameters can decide what context is valid. libxc writes
    // them the other way round, and its receiver sets the context at END, after both.
    public void WriteEnd(RecordOutput output)
    {
        CommonRecords.WriteTsc(output, state.Tsc);
        if (state.HvmParams.Count > 0)
        {
            byte[] body = new byte[
                LibxcFormat.HvmParamsHeaderSize + (state.HvmParams.Count * LibxcFormat.HvmParamSize)];
            BinaryPrimitives.WriteUInt32LittleEndian(body, (uint)state.HvmParams.Count);
            Span<byte> entry = body.AsSpan(LibxcFormat.HvmParamsHeaderSize);
            foreach ((uint index, ulong value) in state.HvmParams.OrderBy(p => p.Key))
            {
                BinaryPrimitives.WriteUInt64LittleEndian(entry, index);
                BinaryPrimitives.WriteUInt64LittleEndian(entry[8..], value);
                entry = entry[LibxcFormat.HvmParamSize..];
            }

            output.Record(LibxcRecordType.HvmParams, body);
        }

        output.Record(LibxcRecordType.HvmContext, state.HvmContext.Span);
    }
}

/// <summary>The records of a PV guest, in the one order that a receiver can use them in.</summary>
internal sealed class PvGuestRecords(XlPvState state) : IGuestRecords
{
    public long LastPfn => state.P2m.LastPfn;

    public bool HasPageTables => true;

    public void WriteStart(RecordOutput output)
    {
        output.Record(
            LibxcRecordType.PvInfo, [state.GuestWidth, state.PageTableLevels, 0, 0, 0, 0, 0, 0]);
        CommonRecords.WritePolicies(output, state.CpuidPolicy, state.MsrPolicy);
        output.Record(LibxcRecordType.StaticDataEnd);

        byte[] body = new byte[LibxcFormat.P2mHeaderSize + (state.P2m.Frames.Length * sizeof(ulong))];
        BinaryPrimitives.WriteUInt32LittleEndian(body, state.P2m.FirstPfn);
        BinaryPrimitives.WriteUInt32LittleEndian(body.AsSpan(4), state.P2m.LastPfn);
        for (int i = 0; i < state.P2m.Frames.Length; i++)
        {
            BinaryPrimitives.WriteInt64LittleEndian(
                body.AsSpan(LibxcFormat.P2mHeaderSize + (i * sizeof(ulong))), state.P2m.Frames.Span[i]);
        }

        output.Record(LibxcRecordType.PvP2mFrames, body);
    }

    public void WriteEnd(RecordOutput output)
    {
        CommonRecords.WriteTsc(output, state.Tsc);
        output.Record(LibxcRecordType.SharedInfo, state.SharedInfo.Span);
        foreach (XlPvVcpu vcpu in state.Vcpus)
        {
            Write(output, vcpu.Id, XlVcpuPart.Basic, vcpu.Basic);
            Write(output, vcpu.Id, XlVcpuPart.Extended, vcpu.Extended);
            Write(output, vcpu.Id, XlVcpuPart.Xsave, vcpu.Xsave);
            Write(output, vcpu.Id, XlVcpuPart.Msrs, vcpu.Msrs);
        }
    }

    private static void Write(RecordOutput output, uint id, XlVcpuPart part, ReadOnlyMemory<byte> context)
    {
        if (context.IsEmpty)
        {
            return;
        }

        Span<byte> head = stackalloc byte[LibxcFormat.VcpuHeaderSize];
        BinaryPrimitives.WriteUInt32LittleEndian(head, id);
        BinaryPrimitives.WriteUInt32LittleEndian(head[4..], 0);
        output.Record((uint)part.RecordType(), head, context.Span);
    }
}
