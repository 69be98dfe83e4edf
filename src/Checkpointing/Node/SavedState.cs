using System.Buffers.Binary;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using XenTwoLevelCkpt.Checkpointing.Memory;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Format;

namespace XenTwoLevelCkpt.Checkpointing.Node;

/// <summary>What the registers image of a domain says, beside the domain's memory and disks, that a restore needs.
/// Integers are little-endian; docs/checkpoint-format.md has the table.</summary>
/// <param name="Configuration">The toolstack's configuration and the CPU policy.</param>
/// <param name="Registers">Virtual CPUs, HVM parameters, TSC.</param>
/// <param name="Report">How the checkpoint went; null where the image does not say.</param>
/// <param name="Pv">What a PV guest needs beside its pages; null for others.</param>
public sealed record SavedState(
    DomainConfiguration Configuration, DomainRegisters Registers, DomainReport? Report, PvMemoryState? Pv = null)
{
    private const string Context = "hvm-context";
    private const string Parameters = "hvm-params";
    private const string Tsc = "tsc-info";
    private const string Cpuid = "cpuid-policy";
    private const string Msr = "msr-policy";
    private const string Toolstack = "toolstack-config";
    private const string Machine = "machine";
    private const string Measured = "report";
    private const string PvHead = "pv-state";
    private const string PvTypes = "pv-page-types";

    /// <summary>Writes the state as blobs.</summary>
    /// <param name="writer">An image of registers.</param>
    public void WriteTo(ImageWriter writer)
    {
        ArgumentNullException.ThrowIfNull(writer);
        writer.AddBlob(Machine, JsonSerializer.SerializeToUtf8Bytes(
            new MachineJson(Configuration.Name, Configuration.Kind, Configuration.HypervisorVersion),
            NodeJson.Default.MachineJson));
        writer.AddBlob(Toolstack, Encoding.UTF8.GetBytes(Configuration.Toolstack));
        writer.AddBlob(Cpuid, Configuration.CpuidPolicy.Span);
        writer.AddBlob(Msr, Configuration.MsrPolicy.Span);
        writer.AddBlob(Context, Registers.HvmContext.Span);
        writer.AddBlob(Parameters, EncodeParameters(Registers.HvmParameters));
        writer.AddBlob(Tsc, EncodeTsc(Registers.Tsc));
        if (Pv is not null)
        {
            writer.AddBlob(PvHead, Pv.Head.Span);
            writer.AddBlob(PvTypes, Pv.PageTypes.Span);
        }

        if (Report is not null)
        {
            writer.AddBlob(Measured, JsonSerializer.SerializeToUtf8Bytes(Report, NodeJson.Default.DomainReport));
        }
    }

    /// <summary>Reads the state.</summary>
    /// <param name="blobs">The blobs of an image of registers.</param>
    /// <exception cref="InvalidDataException">A blob is missing or makes no sense.</exception>
    public static SavedState From(IReadOnlyDictionary<string, byte[]> blobs)
    {
        ArgumentNullException.ThrowIfNull(blobs);
        try
        {
            MachineJson machine = JsonSerializer.Deserialize(Get(blobs, Machine), NodeJson.Default.MachineJson)
                ?? throw new InvalidDataException($"The registers image has an empty '{Machine}'.");
            var configuration = new DomainConfiguration(
                machine.Name, machine.Kind, Encoding.UTF8.GetString(Get(blobs, Toolstack)), Get(blobs, Cpuid),
                Get(blobs, Msr), machine.Hypervisor);
            var registers = new DomainRegisters(
                Get(blobs, Context), DecodeParameters(Get(blobs, Parameters)), DecodeTsc(Get(blobs, Tsc)));
            DomainReport? report = blobs.TryGetValue(Measured, out byte[]? json)
                ? JsonSerializer.Deserialize(json, NodeJson.Default.DomainReport)
                : null;
            PvMemoryState? pv = machine.Kind == GuestKind.Pv && blobs.ContainsKey(PvHead)
                ? new PvMemoryState(Get(blobs, PvHead), Get(blobs, PvTypes))
                : null;
            return new SavedState(configuration, registers, report, pv);
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"The registers image holds JSON that makes no sense: {e.Message}", e);
        }
    }

    private static byte[] Get(IReadOnlyDictionary<string, byte[]> blobs, string name) =>
        blobs.TryGetValue(name, out byte[]? blob)
            ? blob
            : throw new InvalidDataException($"The registers image has no '{name}'.");

    private static byte[] EncodeParameters(IReadOnlyDictionary<uint, ulong> parameters)
    {
        byte[] bytes = new byte[parameters.Count * 16];
        int at = 0;
        foreach ((uint index, ulong value) in parameters.OrderBy(p => p.Key))
        {
            BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(at), index);
            BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(at + 8), value);
            at += 16;
        }

        return bytes;
    }

    private static Dictionary<uint, ulong> DecodeParameters(byte[] bytes)
    {
        if (bytes.Length % 16 != 0)
        {
            throw new InvalidDataException($"'{Parameters}' has {bytes.Length} bytes, which is no multiple of 16.");
        }

        var parameters = new Dictionary<uint, ulong>();
        for (int at = 0; at < bytes.Length; at += 16)
        {
            parameters[checked((uint)BinaryPrimitives.ReadUInt64LittleEndian(bytes.AsSpan(at)))] =
                BinaryPrimitives.ReadUInt64LittleEndian(bytes.AsSpan(at + 8));
        }

        return parameters;
    }

    private static byte[] EncodeTsc(TscInfo tsc)
    {
        byte[] bytes = new byte[24];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, tsc.Mode);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(4), tsc.KiloHertz);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(8), tsc.ElapsedNanoseconds);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(16), tsc.Incarnation);
        return bytes;
    }

    private static TscInfo DecodeTsc(byte[] bytes) => bytes.Length != 24
        ? throw new InvalidDataException($"'{Tsc}' has {bytes.Length} bytes, not 24.")
        : new TscInfo(
            BinaryPrimitives.ReadUInt32LittleEndian(bytes), BinaryPrimitives.ReadUInt64LittleEndian(bytes.AsSpan(8)),
            BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(4)),
            BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(16)));
}

/// <summary>What kind of machine the domain is.</summary>
/// <param name="Name">The toolstack's name for it.</param>
/// <param name="Kind">How it is virtualised.</param>
/// <param name="Hypervisor">The hypervisor's release.</param>
internal sealed record MachineJson(string Name, GuestKind Kind, string Hypervisor);

/// <summary>Serialisers made at build time: reflection would cost seconds of a command's start on a slow machine.
/// </summary>
[JsonSerializable(typeof(MachineJson))]
[JsonSerializable(typeof(DomainReport))]
[JsonSerializable(typeof(Intent))]
internal sealed partial class NodeJson : JsonSerializerContext;
