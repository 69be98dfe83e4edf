using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Xen;

public sealed partial class XenInterface
{
    /// <summary>The highest guest frame number in use plus one: the number of bits of a log-dirty bitmap.</summary>
    /// <param name="domid">The domain's id.</param>
    public long GetPfnCount(uint domid)
    {
        if (Xenctrl.xc_domain_nr_gpfns(this, domid, out ulong count) != 0)
        {
            XenErrors.ThrowForDomain("read the number of page frames of", domid);
        }

        return checked((long)count);
    }

    /// <summary>Replaces frame numbers by the types of their frames. Allocates nothing.</summary>
    /// <param name="domid">The domain's id.</param>
    /// <param name="frames">Frame numbers (of a PV guest: machine frames), replaced by
    /// <c>XEN_DOMCTL_PFINFO_*</c>. On an exception the contents are undefined.</param>
    public void GetPageTypes(uint domid, Span<ulong> frames)
    {
        while (!frames.IsEmpty)
        {
            int count = Math.Min(frames.Length, Xenctrl.MaxPfnTypeBatch);
            if (Xenctrl.xc_get_pfn_type_batch(this, domid, (uint)count, ref MemoryMarshal.GetReference(frames)) != 0)
            {
                XenErrors.ThrowForDomain("read page types of", domid);
            }

            frames = frames[count..];
        }
    }

    /// <summary>Reads the types of consecutive frames. Allocates nothing.</summary>
    /// <param name="domid">The domain's id.</param>
    /// <param name="first">The first frame number.</param>
    /// <param name="types">Receives <c>XEN_DOMCTL_PFINFO_*</c> shifted right by 28: 0 for ordinary memory, 0xd broken,
    /// 0xe allocate only, 0xf unpopulated.</param>
    public void GetPageTypes(uint domid, long first, Span<byte> types)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        Span<ulong> frames = stackalloc ulong[Math.Min(types.Length, Xenctrl.MaxPfnTypeBatch)];
        ulong next = (ulong)first;
        while (!types.IsEmpty)
        {
            Span<ulong> batch = frames[..Math.Min(frames.Length, types.Length)];
            for (int i = 0; i < batch.Length; i++)
            {
                batch[i] = next + (ulong)i;
            }

            GetPageTypes(domid, batch);
            for (int i = 0; i < batch.Length; i++)
            {
                types[i] = (byte)((batch[i] & Domctl.XEN_DOMCTL_PFINFO_LTAB_MASK)
                    >> Domctl.XEN_DOMCTL_PFINFO_LTAB_SHIFT);
            }

            next += (ulong)batch.Length;
            types = types[batch.Length..];
        }
    }
}
