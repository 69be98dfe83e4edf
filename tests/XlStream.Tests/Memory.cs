namespace XenTwoLevelCkpt.XlStream.Tests;

/// <summary>A guest's memory, as a receiver would build it up: of a PFN the last copy counts.</summary>
internal sealed class Memory : XlStateVisitor
{
    internal SortedDictionary<long, (XlPageType Type, byte[] Data)> Pages { get; } = [];

    internal List<int> Batches { get; } = [];

    public override void OnPages(
        ReadOnlySpan<long> pfns, ReadOnlySpan<XlPageType> types, ReadOnlySpan<byte> data)
    {
        Batches.Add(pfns.Length);
        for (int i = 0; i < pfns.Length; i++)
        {
            int size = types[i].HasContents() ? Sample.Page : 0;
            Pages[pfns[i]] = (types[i], data[..size].ToArray());
            data = data[size..];
        }

        Assert.Equal(0, data.Length);
    }

    internal void AssertSame(Memory other)
    {
        Assert.Equal(Pages.Keys, other.Pages.Keys);
        foreach ((long pfn, (XlPageType type, byte[] data)) in Pages)
        {
            Assert.Equal(type, other.Pages[pfn].Type);
            Assert.True(data.AsSpan().SequenceEqual(other.Pages[pfn].Data), $"page {pfn}");
        }
    }
}
