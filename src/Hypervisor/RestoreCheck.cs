using System.Buffers.Binary;
using XenTwoLevelCkpt.Hypervisor.Model;
using XenTwoLevelCkpt.Hypervisor.Xen;

namespace XenTwoLevelCkpt.Hypervisor;

/// <summary>Looks at what a domain would be restored from, without a hypervisor.</summary>
public static class RestoreCheck
{
    // arch-x86/hvm/save.h: each entry has its type, its instance and its length before it; the first one begins with a magic
    // number, and the last one is of type 0.
    private const int DescriptorLength = 8;
    private const int HeaderType = 1;
    private const uint HeaderMagic = 0x54381286;

    /// <summary>What a restore would stumble over, as a sentence without its full stop; null where nothing is seen.</summary>
    /// <param name="request">What the domain is made of.</param>
    public static string? Problem(RestoreRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        if (!Enum.IsDefined(request.Configuration.Kind) || string.IsNullOrEmpty(request.Name))
        {
            return "the machine has no name, or is of no kind that there is";
        }

        try
        {
            return request.Configuration.HypervisorVersion == ModelHypervisor.Version ? OfModel(request) : OfXen(request);
        }
        catch (Exception e) when (e is ArgumentException or HypervisorException)
        {
            return e.Message.TrimEnd('.');
        }
    }

    private static string? OfModel(RestoreRequest request)
    {
        _ = ModelToolstack.Parse(request.Configuration.Toolstack);
        if (request.Configuration.Kind != GuestKind.Pv)
        {
            new VcpuContext().Restore(request.Registers);
        }

        return null;
    }

    private static string? OfXen(RestoreRequest request)
    {
        _ = new XlDomainStream(Stream.Null, request);
        if (request.Configuration.Kind == GuestKind.Pv)
        {
            return request.PvPageTypes.Length == request.PfnCount
                ? null
                : $"there are types of {request.PvPageTypes.Length} pages of the PV guest, which has {request.PfnCount}";
        }

        return IsHvmContext(request.Registers.HvmContext.Span) ? null : "the HVM context is none";
    }

    private static bool IsHvmContext(ReadOnlySpan<byte> context)
    {
        bool first = true;
        while (context.Length >= DescriptorLength)
        {
            int type = BinaryPrimitives.ReadUInt16LittleEndian(context);
            uint length = BinaryPrimitives.ReadUInt32LittleEndian(context[4..]);
            context = context[DescriptorLength..];
            if (type == 0 && !first)
            {
                return true;
            }

            if (length > context.Length
                || (first && (type != HeaderType || length < 4 || BinaryPrimitives.ReadUInt32LittleEndian(context) != HeaderMagic)))
            {
                return false;
            }

            context = context[(int)length..];
            first = false;
        }

        return false;
    }
}
