using XenTwoLevelCkpt.Images.Format;

namespace XenTwoLevelCkpt.Benchmarks.Node;

/// <summary>Writers of images that nobody keeps: what is measured is what comes before the disk.</summary>
internal static class Writers
{
    internal static ImageWriter ToNowhere(long pfnCount, bool full, ImageWriterOptions? options = null) => new(
        Stream.Null,
        new ImageHeader
        {
            DomainUuid = Guid.NewGuid(),
            CheckpointId = Guid.NewGuid(),
            ParentId = full ? Guid.Empty : Guid.NewGuid(),
            Epoch = 1,
            Created = DateTimeOffset.UnixEpoch,
            Content = ImageContent.Memory,
            Kind = full ? ImageKind.Full : ImageKind.Increment,
            UnitSize = 4096,
            UnitCount = pfnCount,
        },
        "nowhere", options);
}
