namespace XenTwoLevelCkpt.XlStream.Tests;

/// <summary>Compares states by their bytes; a record with memory in it compares by reference.</summary>
internal static class States
{
    internal static void AssertSame(XlHvmState a, XlHvmState b)
    {
        Assert.Equal(a.CpuidPolicy.ToArray(), b.CpuidPolicy.ToArray());
        Assert.Equal(a.MsrPolicy.ToArray(), b.MsrPolicy.ToArray());
        Assert.Equal(a.Tsc, b.Tsc);
        Assert.Equal(a.HvmParams.OrderBy(p => p.Key), b.HvmParams.OrderBy(p => p.Key));
        Assert.Equal(a.HvmContext.ToArray(), b.HvmContext.ToArray());
    }

    internal static void AssertSame(XlPvState a, XlPvState b)
    {
        Assert.Equal((a.GuestWidth, a.PageTableLevels, a.Tsc), (b.GuestWidth, b.PageTableLevels, b.Tsc));
        Assert.Equal(a.CpuidPolicy.ToArray(), b.CpuidPolicy.ToArray());
        Assert.Equal(a.MsrPolicy.ToArray(), b.MsrPolicy.ToArray());
        Assert.Equal((a.P2m.FirstPfn, a.P2m.LastPfn), (b.P2m.FirstPfn, b.P2m.LastPfn));
        Assert.Equal(a.P2m.Frames.ToArray(), b.P2m.Frames.ToArray());
        Assert.Equal(a.SharedInfo.ToArray(), b.SharedInfo.ToArray());
        Assert.Equal(a.Vcpus.Count, b.Vcpus.Count);
        foreach ((XlPvVcpu x, XlPvVcpu y) in a.Vcpus.Zip(b.Vcpus))
        {
            Assert.Equal(x.Id, y.Id);
            Assert.Equal(x.Basic.ToArray(), y.Basic.ToArray());
            Assert.Equal(x.Extended.ToArray(), y.Extended.ToArray());
            Assert.Equal(x.Xsave.ToArray(), y.Xsave.ToArray());
            Assert.Equal(x.Msrs.ToArray(), y.Msrs.ToArray());
        }
    }
}
