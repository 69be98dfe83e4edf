using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Images.Verification;
using XenTwoLevelCkpt.NativeInterop.Files;
using Xunit;

namespace XenTwoLevelCkpt.Images.Tests.Files;

/// <summary>Power cuts at every call of a change, with every choice of what the device kept of what was not synced: nothing, all,
/// one change alone, all but one.</summary>
public class CrashTests
{
    private const string Root = "/store";

    [Fact]
    public void A_checkpoint_that_was_committed_survives_and_one_that_was_not_leaves_nothing() => CrashEverywhere(
        (store, all) => _ = StoreSample.Add(store, all[2].Id, 4), (before, done) => done ? before + 1 : before);

    [Fact]
    public void A_fold_changes_no_state() => CrashEverywhere(
        (store, all) => Assert.True(Folding.Fold(store, all[1].Id, Sample.Domain, ImageContent.Memory)),
        (before, _) => before);

    [Fact]
    public void A_merge_changes_no_state() => CrashEverywhere(
        (store, all) => Assert.True(
            Folding.Merge(store, all[2].Id, Sample.Domain, ImageContent.Memory, "", all[0].Id)),
        (before, _) => before);

    [Fact]
    public void A_removal_removes_all_or_nothing() => CrashEverywhere(
        (store, _) => Assert.True(store.Remove(3)), (before, done) => done ? before - 1 : before);

    [Fact]
    public void A_commit_that_failed_after_its_rename_does_not_come_back()
    {
        var files = new LosingFiles();
        using var store = DirectoryStore.Open(Root, files);
        CheckpointManifest[] all = ChainTests.Three(store);
        bool failed = false;
        files.Before = (what, path) =>
        {
            if (!failed && what == "sync folder" && path == Root)
            {
                failed = true;
                throw new IOException("injected");
            }
        };
        Assert.Throws<IOException>(() => StoreSample.Add(store, all[2].Id, 4));
        Assert.True(failed);
        foreach (LosingFiles after in Crashes(files))
        {
            using var again = DirectoryStore.Open(Root, after);
            Assert.Equal(all.Select(m => m.Id), again.Checkpoints.Select(m => m.Id));
        }
    }

    [Fact]
    public void A_durable_file_is_as_it_was_or_as_it_was_written_and_stays()
    {
        const string Path = "/state/file";
        byte[] old = Sample.Noise(1, 100), written = Sample.Noise(2, 200);
        for (int call = 1; ; call++)
        {
            var files = new LosingFiles();
            files.MakeFolder("/state");
            files.SyncFolder("/");
            DurableFile.Replace(files, Path, s => s.Write(old));
            files.DiesAt = files.Calls + call - 1;
            bool done = Record.Exception(() => DurableFile.Replace(files, Path, s => s.Write(written))) is null;
            foreach (LosingFiles after in Crashes(files))
            {
                using Stream stream = after.OpenRead(Path);
                byte[] there = new byte[stream.Length];
                stream.ReadExactly(there);
                Assert.True(there.AsSpan().SequenceEqual(written) || (!done && there.AsSpan().SequenceEqual(old)));
            }

            if (done)
            {
                return;
            }
        }
    }

    // The machine dies at each call of a change in turn, and after all of them.
    private static void CrashEverywhere(
        Action<DirectoryStore, CheckpointManifest[]> change, Func<int, bool, int> checkpoints)
    {
        int calls = 0;
        for (int call = 1; ; call++)
        {
            var files = new LosingFiles();
            bool done;
            List<MemoryModel> states;
            int before;
            using (var store = DirectoryStore.Open(Root, files))
            {
                CheckpointManifest[] all = ChainTests.Three(store);
                before = all.Length;
                states = [.. all.Select(m => StoreSample.State(store, m.Id))];
                files.DiesAt = files.Calls + call - 1;
                Exception? died = Record.Exception(() => change(store, all));
                done = died is null;
                Assert.True(died is null or IOException, $"{died}");
                if (store.Checkpoints.Count > before)
                {
                    states.Add(StoreSample.State(store, store.Checkpoints[^1].Id));
                }
            }

            foreach (LosingFiles after in Crashes(files))
            {
                AssertWhole(after, states, checkpoints(before, false), checkpoints(before, true), done);
            }

            if (done)
            {
                Assert.True(calls > 3);
                return;
            }

            calls++;
        }
    }

    private static void AssertWhole(LosingFiles after, List<MemoryModel> states, int undone, int done, bool isDone)
    {
        using var again = DirectoryStore.Open(Root, after);
        Assert.Empty(again.Problems);
        Assert.Empty(Verifier.VerifyStore(again));
        Assert.True(
            again.Checkpoints.Count == done || (!isDone && again.Checkpoints.Count == undone),
            $"{again.Checkpoints.Count} checkpoints");
        foreach (CheckpointManifest manifest in again.Checkpoints.Where(m => (int)m.Epoch <= states.Count))
        {
            states[(int)manifest.Epoch - 1].AssertSame(StoreSample.State(again, manifest.Id));
        }

        // And it is written on.
        _ = StoreSample.Add(again, Guid.Empty, 9);
        Assert.All(
            after.FoldersIn(Root), f => Assert.True(Path.GetExtension(f) == "", $"{f} is left over"));
    }

    private static IEnumerable<LosingFiles> Crashes(LosingFiles files)
    {
        IReadOnlyList<int> changes = files.Unsynced;
        yield return files.Crash(_ => false);
        yield return files.Crash(_ => true);
        foreach (int one in changes)
        {
            yield return files.Crash(c => c == one);
            yield return files.Crash(c => c != one);
            yield return files.Crash(c => c < one);
        }
    }
}
