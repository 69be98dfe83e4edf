using System.Text.Json;
using System.Text.Json.Serialization;
using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Hypervisor.Model;

/// <summary>A model domain that is being restored.</summary>
internal sealed class ModelRestore : IDomainRestore
{
    private readonly RestoreRequest _request;
    private readonly ModelGuest _guest;
    private bool _complete;

    internal ModelRestore(ModelHypervisor hypervisor, RestoreRequest request)
    {
        _request = request;
        ModelToolstack toolstack = ModelToolstack.Parse(request.Configuration.Toolstack);
        _guest = hypervisor.CreateDomain(new ModelDomainOptions
        {
            Name = request.Name,
            Uuid = request.Uuid,
            Kind = request.Configuration.Kind,
            MemoryPages = 0,
            MaxMemoryPages = toolstack.MaxRamPages,
            GrowsToPages = PhysicalMap.RamPages(request.Configuration.Kind, request.PfnCount),
            Vcpus = toolstack.Vcpus,
            DiskBlocks = toolstack.DiskBlocks,
            SuspendLatency = TimeSpan.FromTicks(toolstack.SuspendLatencyTicks),
            StartPaused = true,
        });
    }

    public void AddPages(ReadOnlySpan<PfnRun> runs, ReadOnlySpan<byte> data) => _guest.RestorePages(runs, data);

    public void AddZeroPages(PfnRun run)
    {
        for (long pfn = run.First; pfn < run.End; pfn++)
        {
            _ = _guest.Populate(pfn);
        }
    }

    public IDomain Complete()
    {
        _guest.RestoreRegisters(_request.Registers);
        _complete = true;
        return new ModelDomain(_guest);
    }

    public void Dispose()
    {
        if (!_complete)
        {
            _guest.Destroy();
        }
    }
}

/// <summary>What the model has for a toolstack's configuration.</summary>
internal sealed record ModelToolstack(
    long MaxRamPages, int Vcpus, long DiskBlocks, long SuspendLatencyTicks, string Devices = "", long MemoryPages = 0)
{
    internal static ModelToolstack Parse(string json)
    {
        try
        {
            return JsonSerializer.Deserialize(json, ModelJson.Default.ModelToolstack)
                ?? throw new HypervisorException("The configuration is empty.");
        }
        catch (JsonException e)
        {
            throw new HypervisorException($"The configuration is not that of a model domain: {e.Message}", e);
        }
    }

    internal string ToJson() => JsonSerializer.Serialize(this, ModelJson.Default.ModelToolstack);
}

/// <summary>The model's serialisers, made at build time.</summary>
[JsonSerializable(typeof(ModelToolstack))]
internal sealed partial class ModelJson : JsonSerializerContext;
