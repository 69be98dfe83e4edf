using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Images.Verification;
using Xunit;
using Second = XenTwoLevelCkpt.Images.SecondReader;

namespace XenTwoLevelCkpt.Images.Tests;

/// <summary>Holds this reader against the one that was written from the document alone.</summary>
internal static class Judge
{
    /// <summary>An image that both readers take, and that holds the same for both.</summary>
    internal static void Image(byte[] image)
    {
        Second.ImageFile theirs = Second.ImageFile.Read(image);
        using var ours = new ImageReader(new MemoryStream(image), "image");
        var state = new JudgedState();
        ImageTrailer trailer = ours.ReadToEnd(state);
        state.AssertSame(StateOf(theirs));
        SameHeader(ours.Header, theirs.Header);
        SameEnd(trailer, theirs.End);
    }

    /// <summary>Whether this reader and the verifier reject an image. Fails where the second reader does not say the
    /// same, or where it is read and does not hold the same for both.</summary>
    internal static bool Rejects(byte[] image)
    {
        Exception? ours = Record.Exception(() => Read(image));
        Exception? theirs = Record.Exception(() => Second.ImageFile.Read(image));
        Assert.True(ours is null or ImageException, $"{ours}");
        Assert.True(theirs is null or Second.FormatViolationException, $"{theirs}");
        Assert.True(
            ours is null == theirs is null,
            $"one reader: {ours?.Message ?? "accepted"}\nthe second: {theirs?.Message ?? "accepted"}");
        Assert.Equal(ours is null, Verifier.VerifyImage(new MemoryStream(image), "image").Count == 0);
        if (ours is null)
        {
            Image(image);
        }

        return ours is not null;
    }

    /// <summary>An image that both readers reject as one of a later format, not as a damaged one.</summary>
    internal static void IsOfLaterFormat(byte[] image)
    {
        Assert.Throws<ImageUnsupportedException>(() => Read(image));
        Assert.True(Assert.Throws<Second.FormatViolationException>(() => Second.ImageFile.Read(image)).IsLaterFormat);
    }

    /// <summary>Whether a manifest is rejected, by both readers for the same kind of reason.</summary>
    internal static bool RejectsManifest(byte[] manifest)
    {
        Exception? ours = Record.Exception(() => ManifestFile.Decode(manifest, "manifest"));
        Exception? theirs = Record.Exception(() => Second.Manifest.Parse(manifest));
        Assert.True(ours is null or ImageException, $"{ours}");
        Assert.True(theirs is null or Second.FormatViolationException, $"{theirs}");
        Assert.True(
            ours is null == theirs is null,
            $"one reader: {ours?.Message ?? "accepted"}\nthe second: {theirs?.Message ?? "accepted"}");
        return ours is not null;
    }

    /// <summary>A store that is whole for both readers or for neither; each part that this reader has a state of has
    /// the same for the second one where the store is whole, and none where this one refuses it.</summary>
    internal static void Store(string root)
    {
        using var ours = DirectoryStore.OpenReadOnly(root);
        Second.Store theirs = Second.Store.Read(root);
        IReadOnlyList<Finding> findings = Verifier.VerifyStore(ours);
        var problems = theirs.Damage.Select(e => e.Message).ToList();
        Assert.True(
            findings.Count > 0 || ours.Checkpoints.Select(m => m.Epoch).SequenceEqual(theirs.Checkpoints.Select(c => c.Manifest.Epoch)),
            "the readers see different checkpoints");
        foreach (Second.Checkpoint checkpoint in theirs.Checkpoints)
        {
            foreach (Second.CheckpointPart part in checkpoint.Parts)
            {
                JudgedState? ourState = StateOf(ours, checkpoint.Manifest.Id, part);
                Second.PartState? theirState = StateOf(theirs, checkpoint, part, problems);
                Assert.False(ourState is null && theirState is not null, $"only the second reader reads {part.Path}");
                if (ourState is not null && theirState is not null)
                {
                    ourState.AssertSame(theirState);
                }
            }
        }

        Assert.True(
            findings.Count == 0 == (problems.Count == 0),
            $"one reader: {string.Join('\n', findings)}\nthe second: {string.Join('\n', problems)}");
    }

    private static void Read(byte[] image)
    {
        using var reader = new ImageReader(new MemoryStream(image), "image");
        _ = reader.ReadToEnd(new JudgedState());
    }

    private static Second.PartState StateOf(Second.ImageFile image)
    {
        var state = new Second.PartState();
        state.Apply(image);
        return state;
    }

    private static JudgedState? StateOf(ICheckpointStore store, Guid checkpoint, Second.CheckpointPart part)
    {
        var state = new JudgedState();
        try
        {
            using Chain chain = Chain.Open(
                store, checkpoint, part.Domain, (ImageContent)part.Part.Content, part.Part.Name);
            chain.Visit(state);
            return state;
        }
        catch (Exception e) when (e is ImageException or ChainBrokenException or IOException)
        {
            return null;
        }
    }

    private static Second.PartState? StateOf(
        Second.Store store, Second.Checkpoint checkpoint, Second.CheckpointPart part, List<string> problems)
    {
        try
        {
            return store.State(checkpoint, part.Domain, part.Part.Content, part.Part.Name);
        }
        catch (Second.FormatViolationException e)
        {
            problems.Add(e.Message);
            return null;
        }
    }

    private static void SameHeader(ImageHeader ours, Second.ImageHeader theirs)
    {
        Assert.Equal((theirs.Domain, theirs.Checkpoint, theirs.Parent), (ours.DomainUuid, ours.CheckpointId, ours.ParentId));
        Assert.Equal((theirs.Epoch, theirs.Created), (ours.Epoch, Timestamp.ToMicroseconds(ours.Created)));
        Assert.Equal(((long)theirs.UnitCount, (int)theirs.UnitSize), (ours.UnitCount, ours.UnitSize));
        Assert.Equal(((int)theirs.Content, (int)theirs.Kind), ((int)ours.Content, (int)ours.Kind));
        Assert.Equal(
            (theirs.IsFolded, theirs.IsCompressed), (ours.Synthetic, ours.Compression == ImageCompression.Lz4));
    }

    private static void SameEnd(ImageTrailer ours, Second.ImageEnd theirs)
    {
        Assert.Equal(
            (theirs.Index, theirs.Captured, theirs.Label),
            (ours.Closing.Index, Timestamp.ToMicroseconds(ours.Closing.Captured), ours.Closing.Label));
        Assert.Equal((theirs.Records, theirs.FileLength), ((ulong)ours.Totals.Records, (ulong)ours.Totals.FileLength));
    }
}
