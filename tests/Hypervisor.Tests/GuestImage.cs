using XenTwoLevelCkpt.Hypervisor.Model;
using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Hypervisor.Tests;

/// <summary>A checkpoint made the simplest way: all populated pages, registers and disk of a suspended guest.</summary>
internal sealed class GuestImage
{
    private readonly Dictionary<long, byte[]> _pages = [];
    private readonly DomainRegisters _registers;
    private readonly byte[][] _blocks;
    private readonly ModelDomainOptions _options;

    private GuestImage(ModelGuest guest, IDomain domain)
    {
        _registers = domain.CaptureRegisters();
        _blocks = [.. Enumerable.Range(0, (int)guest.Disk.BlockCount).Select(i => guest.Disk.Read(i).ToArray())];
        _options = new ModelDomainOptions
        {
            Name = guest.Name,
            Uuid = guest.Uuid,
            Kind = guest.Kind,
            MemoryPages = 0,
            MaxMemoryPages = domain.GetInfo().MaxMemoryPages,
            DiskBlocks = guest.Disk.BlockCount,
            StartPaused = true,
        };
    }

    internal DomainRegisters Registers => _registers;

    /// <summary>Takes a full image.</summary>
    internal static GuestImage Take(ModelGuest guest, IDomain domain)
    {
        var image = new GuestImage(guest, domain);
        var types = new PageType[domain.GetPfnCount()];
        domain.GetPageTypes(0, types);
        for (long pfn = 0; pfn < types.Length; pfn++)
        {
            if (types[pfn] == PageType.Normal)
            {
                image.CopyPage(domain, pfn);
            }
        }

        return image;
    }

    /// <summary>Takes an image from another one and the pages that a log shows.</summary>
    internal static GuestImage TakeIncrement(GuestImage parent, ModelGuest guest, IDomain domain, DirtyBitmap dirty)
    {
        var image = new GuestImage(guest, domain);
        foreach ((long pfn, byte[] page) in parent._pages)
        {
            image._pages[pfn] = page;
        }

        for (long pfn = 0; pfn < dirty.PfnCount; pfn++)
        {
            if (dirty[pfn])
            {
                image.CopyPage(domain, pfn);
            }
        }

        return image;
    }

    /// <summary>Makes a domain of the image; it runs from its first step on.</summary>
    internal ModelGuest RestoreInto(ModelHypervisor hypervisor)
    {
        ModelGuest guest = hypervisor.CreateDomain(_options);
        foreach ((long pfn, byte[] page) in _pages)
        {
            guest.RestorePages([new PfnRun(pfn, 1)], page);
        }

        for (int i = 0; i < _blocks.Length; i++)
        {
            guest.Disk.Write(i, _blocks[i]);
        }

        guest.RestoreRegisters(_registers);
        guest.Unpause();
        return guest;
    }

    private void CopyPage(IDomain domain, long pfn)
    {
        byte[] page = new byte[ModelGuest.PageSize];
        if (domain.CopyPages([new PfnRun(pfn, 1)], page, new List<long>()) == 1)
        {
            _pages[pfn] = page;
        }
    }
}
