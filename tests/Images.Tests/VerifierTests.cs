using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Images.Verification;
using XenTwoLevelCkpt.NativeInterop.Memory;
using Xunit;

namespace XenTwoLevelCkpt.Images.Tests;

public class VerifierTests
{
    [Fact]
    public void Every_changed_byte_of_an_image_is_found()
    {
        byte[] image = Sample.Small();
        Assert.Empty(Verifier.VerifyImage(new MemoryStream(image), "sample"));
        for (int at = 0; at < image.Length; at++)
        {
            byte[] damaged = [.. image];
            damaged[at] ^= 0x04;
            IReadOnlyList<Finding> findings = Verifier.VerifyImage(new MemoryStream(damaged), "sample");
            Assert.True(findings.Count > 0, $"byte {at} was not found");
            Assert.All(findings, f => Assert.Equal("sample", f.File));
        }
    }

    [Fact]
    public void All_damaged_records_are_reported()
    {
        byte[] image = Sample.Small();
        List<int> records = Records(image);
        Assert.InRange(records.Count, 3, 10);
        foreach (int record in records)
        {
            image[record + ImageFormat.RecordHeaderSize + 4] ^= 1;
        }

        IReadOnlyList<Finding> findings = Verifier.VerifyImage(new MemoryStream(image), "sample");

        // Behind a damaged END the file ends where a record is expected.
        Assert.Equal(
            records.Select(r => (long)r).Append(image.Length), findings.Select(f => f.Offset));
    }

    [Fact]
    public void Every_changed_byte_and_every_truncation_of_a_manifest_is_found()
    {
        using var folder = new TemporaryFolder();
        using (var store = DirectoryStore.Open(folder.Path))
        {
            _ = StoreSample.Add(store, Guid.Empty, 1);
        }

        string path = Directory.GetFiles(folder.Path, "manifest.json", SearchOption.AllDirectories).Single();
        byte[] manifest = File.ReadAllBytes(path);
        for (int at = 0; at < manifest.Length; at++)
        {
            foreach (byte mask in (ReadOnlySpan<byte>)[0x01, 0x20, 0x80])
            {
                byte[] damaged = [.. manifest];
                damaged[at] ^= mask;
                AssertRejected(damaged, $"byte {at} ^ {mask:x2}");
            }

            AssertRejected(manifest[..at], $"length {at}");
        }

        AssertRejected([.. manifest, (byte)'\n'], "one more byte");
        Assert.Equal(manifest, ManifestFile.Encode(ManifestFile.Decode(manifest, path)));

        // The store's own check reads the same way, so it is asked for some of them.
        void AssertRejected(byte[] bytes, string what)
        {
            Assert.True(Judge.RejectsManifest(bytes), what);
            if (bytes.Length % 40 != 0 && !what.Contains("0 ^ 80", StringComparison.Ordinal))
            {
                return;
            }

            File.WriteAllBytes(path, bytes);
            using var store = DirectoryStore.OpenReadOnly(folder.Path);
            Assert.True(Verifier.VerifyStore(store).Count > 0, what);
        }
    }

    [Fact]
    public void Every_changed_byte_of_a_store_is_found()
    {
        using var folder = new TemporaryFolder();
        Fill(folder);
        using var store = DirectoryStore.OpenReadOnly(folder.Path);
        Assert.Empty(Verifier.VerifyStore(store));
        foreach (string path in Files(folder).Where(f => f.EndsWith(".reg", StringComparison.Ordinal)))
        {
            byte[] bytes = File.ReadAllBytes(path);
            for (int at = 0; at < bytes.Length; at += 3)
            {
                bytes[at] ^= 0x40;
                File.WriteAllBytes(path, bytes);
                Assert.Contains(Verifier.VerifyStore(store), f => f.File == path);
                bytes[at] ^= 0x40;
            }

            File.WriteAllBytes(path, bytes);
        }
    }

    [Fact]
    public void Every_missing_file_is_found()
    {
        using var folder = new TemporaryFolder();
        Fill(folder);
        foreach (string path in Files(folder))
        {
            byte[] bytes = File.ReadAllBytes(path);
            File.Delete(path);
            using (var store = DirectoryStore.OpenReadOnly(folder.Path))
            {
                Assert.Contains(Verifier.VerifyStore(store), f => f.File == path);
            }

            File.WriteAllBytes(path, bytes);
        }
    }

    [Fact]
    public void A_missing_checkpoint_is_found_by_what_builds_upon_it()
    {
        using var folder = new TemporaryFolder();
        Fill(folder);
        string second = Directory.GetDirectories(folder.Path).Order().ElementAt(1);
        Directory.Delete(second, recursive: true);
        using var store = DirectoryStore.OpenReadOnly(folder.Path);
        IReadOnlyList<Finding> findings = Verifier.VerifyStore(store);
        Assert.Equal(2, findings.Count);
        Assert.All(findings, f => Assert.Contains("builds upon, is not in the store", f.Problem));
    }

    [Fact]
    public void Every_pair_of_swapped_files_is_found()
    {
        using var folder = new TemporaryFolder();
        Fill(folder);
        string[] files = Files(folder);
        foreach (string a in files)
        {
            foreach (string b in files.Where(f => string.CompareOrdinal(a, f) < 0))
            {
                Swap(a, b);
                using (var store = DirectoryStore.OpenReadOnly(folder.Path))
                {
                    Assert.True(Verifier.VerifyStore(store).Count > 0, $"{a} and {b} swapped");
                }

                Swap(a, b);
            }
        }

        static void Swap(string a, string b)
        {
            byte[] bytes = File.ReadAllBytes(a);
            File.Copy(b, a, overwrite: true);
            File.WriteAllBytes(b, bytes);
        }
    }

    [Fact]
    public void A_swapped_image_is_found_without_its_hash()
    {
        // An image of another domain is found by what its header says, whatever the hash.
        using var folder = new TemporaryFolder();
        Fill(folder);
        using var store = DirectoryStore.OpenReadOnly(folder.Path);
        string mine = store.PathOf(1, $"{Sample.Domain:D}.inm"), other = store.PathOf(1, $"{StoreSample.Other:D}.inm");
        File.Copy(other, mine, overwrite: true);
        Assert.Contains(
            Verifier.VerifyStore(store),
            f => f.File == mine && f.Problem.Contains("of domain", StringComparison.Ordinal));
        Assert.Throws<ImageCorruptException>(() => StoreSample.State(store, store.Checkpoints[0].Id));
    }

    [Fact]
    public void A_whole_image_of_the_same_name_with_other_contents_is_found()
    {
        using var folder = new TemporaryFolder();
        Fill(folder);
        using var store = DirectoryStore.OpenReadOnly(folder.Path);
        string path = store.PathOf(1, $"{Sample.Domain:D}.inm");
        ImageHeader header;
        using (FileStream stream = File.OpenRead(path))
        {
            header = ImageHeader.ReadFrom(stream, path);
        }

        File.WriteAllBytes(path, Sample.Write(
            header, w => w.AddUnits(new PfnRun(1, 2), Sample.Noise(99, 2 * Sample.Unit)),
            closing: StoreSample.Closing(1)));
        Finding finding = Assert.Single(Verifier.VerifyStore(store));
        Assert.Contains("digest", finding.Problem, StringComparison.Ordinal);
        Assert.Contains("digest", Assert.Throws<ImageCorruptException>(
            () => Chain.Open(store, store.Checkpoints[0].Id, Sample.Domain, ImageContent.Memory)).Problem,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Disks_in_each_others_place_are_found_also_when_read()
    {
        using var folder = new TemporaryFolder();
        using var store = DirectoryStore.Open(folder.Path);
        using (var draft = new CheckpointDraft(store, "node1"))
        {
            foreach (string name in (string[])["xvda", "xvdb"])
            {
                draft.AddPart(StoreSample.Memory(Guid.Empty) with
                {
                    Content = ImageContent.BlockDevice,
                    Disk = new DiskInfo(name, StoreSample.Units * Sample.Unit),
                }).AddZero(new PfnRun(0, 1));
            }

            _ = draft.Commit(StoreSample.Closing(1));
        }

        CheckpointManifest manifest = store.Checkpoints[0];
        string a = store.PathOf(1, $"{Sample.Domain:D}.xvda.ind"), b = store.PathOf(1, $"{Sample.Domain:D}.xvdb.ind");
        File.Copy(b, a, overwrite: true);
        Assert.Contains(
            Verifier.VerifyStore(store), f => f.Problem.Contains("of disk xvdb", StringComparison.Ordinal));
        Assert.Throws<ImageCorruptException>(
            () => Chain.Open(store, manifest.Id, Sample.Domain, ImageContent.BlockDevice, "xvda"));
    }

    [Fact]
    public void Every_truncation_of_an_image_in_a_store_is_found()
    {
        using var folder = new TemporaryFolder();
        Fill(folder);
        using var store = DirectoryStore.OpenReadOnly(folder.Path);
        string path = store.PathOf(2, $"{Sample.Domain:D}.reg");
        byte[] bytes = File.ReadAllBytes(path);
        for (int length = 0; length < bytes.Length; length += 5)
        {
            File.WriteAllBytes(path, bytes[..length]);
            Assert.Contains(
                Verifier.VerifyChain(store, store.Checkpoints[1].Id, Sample.Domain, ImageContent.Registers),
                f => f.File == path);
        }
    }

    private static string[] Files(TemporaryFolder folder) =>
        [.. Directory.GetDirectories(folder.Path).SelectMany(Directory.GetFiles)];

    private static void Fill(TemporaryFolder folder)
    {
        using var store = DirectoryStore.Open(folder.Path);
        _ = ChainTests.Three(store);
    }

    private static List<int> Records(byte[] image)
    {
        var records = new List<int>();
        for (int at = ImageFormat.HeaderSize; at < image.Length;)
        {
            records.Add(at);
            at += ImageFormat.RecordHeaderSize + BitConverter.ToInt32(image, at + 4);
        }

        return records;
    }
}
