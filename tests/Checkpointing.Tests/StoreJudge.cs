using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.SecondReader.Tests;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Images.Tests;
using Xunit;
using Second = XenTwoLevelCkpt.Images.SecondReader;

namespace XenTwoLevelCkpt.Checkpointing.Tests;

/// <summary>Has a checkpoint of a store read by the reader that was written from docs/checkpoint-format.md alone.
/// </summary>
internal static class StoreJudge
{
    private static readonly string Document = DocumentExamples.Text();

    /// <summary>The store is whole, every part of the checkpoint is the same for both readers, and the document has
    /// the names of its blobs.</summary>
    internal static void Agrees(DirectoryStore store, Guid checkpoint)
    {
        Second.Store theirs = Second.Store.Read(store.Root);
        Assert.Empty(theirs.Damage);
        Assert.Equal(store.Checkpoints.Select(m => m.Id), theirs.Checkpoints.Select(c => c.Manifest.Id));
        Second.Checkpoint found = theirs.Checkpoints.Single(c => c.Manifest.Id == checkpoint);
        foreach (Second.CheckpointPart part in found.Parts)
        {
            var ours = new JudgedState();
            using Chain chain = Chain.Open(
                store, checkpoint, part.Domain, (ImageContent)part.Part.Content, part.Part.Name);
            chain.Visit(ours);
            Second.PartState state = theirs.State(found, part.Domain, part.Part.Content, part.Part.Name);
            ours.AssertSame(state);
            Assert.All(state.Blobs.Keys, name => Assert.Contains($"| `{name}` |", Document, StringComparison.Ordinal));
        }
    }
}
