using Xunit;

namespace XenTwoLevelCkpt.Images.SecondReader.Tests;

public sealed class StoreTests : IDisposable
{
    private static readonly string Domain = ImageBuilder.SomeDomain.ToString("D");

    private readonly StoreBuilder _store = new();

    public void Dispose() => _store.Dispose();

    private static byte[] Filled(byte value) => [.. Enumerable.Repeat(value, 512)];

    private void Damaged(string rule) => Assert.Contains(
        Store.Read(_store.Path).Damage, e => e.Message.Contains(rule, StringComparison.Ordinal));

    private PartState StateAt(int checkpoint, ImageContent content, string disk = "")
    {
        Store store = Store.Read(_store.Path);
        return store.State(store.Checkpoints[checkpoint], ImageBuilder.SomeDomain, content, disk);
    }

    [Fact]
    public void Checkpoints_come_in_the_order_of_their_epochs()
    {
        _store.Add(3, 30, ImageBuilder.Memory(1).At(3, 30));
        _store.Add(1, 4, ImageBuilder.Memory(1).At(1, 4), ImageBuilder.Registers().At(1, 4));
        Directory.CreateDirectory(System.IO.Path.Combine(_store.Path, "00000000000000000031.tmp"));
        Directory.CreateDirectory(System.IO.Path.Combine(_store.Path, "00000000000000000002.del"));
        File.WriteAllText(System.IO.Path.Combine(_store.Path, "lock"), "");
        File.WriteAllText(System.IO.Path.Combine(_store.DirectoryOf(4), "stray.inm.tmp"), "");

        Store store = Store.Read(_store.Path);

        Assert.Equal([4ul, 30], store.Checkpoints.Select(checkpoint => checkpoint.Manifest.Epoch));
        Assert.Equal(2, store.Checkpoints[0].Parts.Count);
        Assert.Null(store.Checkpoints[0].Find(ImageBuilder.SomeDomain, ImageContent.Channels, ""));
    }

    [Fact]
    public void A_directory_of_another_epoch_or_without_manifest_is_rejected()
    {
        _store.Add(1, 4, ImageBuilder.Memory(1).At(1, 4));
        Directory.Move(_store.DirectoryOf(4), _store.DirectoryOf(5));
        Damaged("directory is its epoch");
        File.Delete(System.IO.Path.Combine(_store.DirectoryOf(5), "manifest.json"));
        Damaged("has its manifest");
    }

    [Fact]
    public void An_id_comes_once()
    {
        _store.Add(1, 4, ImageBuilder.Memory(1).At(1, 4));
        _store.Add(1, 5, ImageBuilder.Memory(1).At(1, 5));
        Damaged("an id is that of one manifest");
    }

    [Fact]
    public void Files_are_those_that_the_manifest_means()
    {
        _store.Add(1, 4, ImageBuilder.Memory(1).At(1, 4).Runs((0, 1, 1)));
        string path = System.IO.Path.Combine(_store.DirectoryOf(4), $"{Domain}.inm");
        File.WriteAllBytes(path, [.. File.ReadAllBytes(path), 0]);
        Damaged("manifest's length");
        File.WriteAllBytes(path, ImageBuilder.Memory(1).At(1, 4).Runs((0, 1, 2)).Build());
        Damaged("manifest's digest");
        File.Delete(path);
        Damaged("is there");
    }

    [Theory]
    [InlineData("domain")]
    [InlineData("checkpoint id")]
    [InlineData("parent")]
    [InlineData("epoch")]
    [InlineData("content")]
    [InlineData("name")]
    [InlineData("index")]
    [InlineData("captured time")]
    [InlineData("label")]
    public void Fields_are_those_of_the_manifest(string field)
    {
        ImageBuilder image = ImageBuilder.Device(512).At(2, 4, 1).Runs((0, 1, 1));
        ManifestLine line = new("block-device", "xvda", "increment", ImageBuilder.Id(1), $"{Domain}.xvda.ind");
        switch (field)
        {
            case "domain":
                image.Domain = ImageBuilder.Id(99);
                break;
            case "checkpoint id":
                image.Checkpoint = ImageBuilder.Id(99);
                break;
            case "parent":
                image.Parent = ImageBuilder.Id(99);
                break;
            case "epoch":
                image.Epoch = 5;
                break;
            case "content":
                image = ImageBuilder.Layers("xvda").At(2, 4, 1);
                break;
            case "name":
                line = line with { Name = "xvdb", File = $"{Domain}.xvdb.ind" };
                break;
            case "index":
                image.Index = 1;
                break;
            case "captured time":
                image.Captured = 1;
                break;
            default:
                image.Label = "x";
                break;
        }

        _store.Add(2, 4, (line, image));
        Damaged($"the manifest's {field}");
    }

    [Fact]
    public void Units_of_a_chain()
    {
        byte[] area = [.. Filled(1), .. Filled(2), .. Filled(3), .. Filled(4)];
        _store.Add(1, 1, ImageBuilder.Device(6 * 512).At(1, 1).Runs(area, (0, 4, 0)).Runs((4, 2, 1)));
        // Shrinks: units 2 to 5 are gone. Unit 1 is written twice, and the second copy counts.
        _store.Add(2, 2, ImageBuilder.Device(2 * 512).At(2, 2, 1).Runs(Filled(9), (1, 1, 1), (1, 1, 0)));
        // Grows again: what was behind the end does not come back.
        _store.Add(3, 7, ImageBuilder.Device(6 * 512).At(3, 7, 2).Runs((0, 1, 1), (5, 1, 1)));

        PartState first = StateAt(0, ImageContent.BlockDevice, "xvda");
        Assert.Equal([0ul, 1, 2, 3, 4, 5], first.Units.Keys);
        Assert.Equal(Filled(3), first.Units[2].ToArray());
        Assert.Equal(Filled(0), first.Units[5].ToArray());

        PartState second = StateAt(1, ImageContent.BlockDevice, "xvda");
        Assert.Equal([0ul, 1], second.Units.Keys);
        Assert.Equal(Filled(1), second.Units[0].ToArray());
        Assert.Equal(Filled(9), second.Units[1].ToArray());
        Assert.Equal(1024u, second.Disk!.Length);

        PartState third = StateAt(2, ImageContent.BlockDevice, "xvda");
        Assert.Equal([0ul, 1, 5], third.Units.Keys);
        Assert.Equal(Filled(0), third.Units[0].ToArray());
        Assert.Equal(6u, third.UnitCount);
    }

    [Fact]
    public void Layers_and_blobs()
    {
        string[] names = [.. Enumerable.Range(1, 3).Select(i => ImageBuilder.Id((byte)i).ToString("D"))];
        _store.Add(1, 1, ImageBuilder.Layers().At(1, 1).Blob(names[2], [3]).Blob(names[0], [1]), ImageBuilder.Registers().At(1, 1));
        _store.Add(2, 2, ImageBuilder.Layers().At(2, 2, 1).Blob(names[1], [2]), ImageBuilder.Registers().At(2, 2).Blob("tsc", [5]));

        Assert.Equal([names[2], names[0], names[1]], StateAt(1, ImageContent.Directory, "share").Layers.Select(layer => layer.Name));
        Assert.Equal([5], StateAt(1, ImageContent.Registers).Blobs["tsc"].ToArray());
        Assert.Empty(StateAt(0, ImageContent.Registers).Blobs);
    }

    [Fact]
    public void A_chain_without_its_beginning_is_rejected()
    {
        _store.Add(2, 2, ImageBuilder.Memory(1).At(2, 2, 1));
        Refuse.That("the parent of an increment is there", () => StateAt(0, ImageContent.Memory));
        _store.Add(1, 1, ImageBuilder.Registers().At(1, 1));
        Refuse.That("has the part", () => StateAt(1, ImageContent.Memory));
    }

    [Fact]
    public void Parents_have_lower_epochs_and_the_same_unit_size()
    {
        _store.Add(1, 2, ImageBuilder.Memory(1).At(1, 2, 2), ImageBuilder.Device(1024, 1024).At(1, 2));
        _store.Add(2, 3, ImageBuilder.Memory(1).At(2, 3, 1), ImageBuilder.Device(1024, 512).At(2, 3, 1));
        Refuse.That("epoch is lower", () => StateAt(0, ImageContent.Memory));
        Refuse.That("epoch is lower", () => StateAt(1, ImageContent.Memory));
        Refuse.That("unit size is the same", () => StateAt(1, ImageContent.BlockDevice, "xvda"));
    }

    [Fact]
    public void A_device_that_was_shorter_meanwhile_has_lost_what_lay_behind_its_end()
    {
        _store.Add(1, 1, ImageBuilder.Device(1024).At(1, 1).Runs([.. Filled(1), .. Filled(2)], (0, 2, 0)));
        _store.Add(2, 2, ImageBuilder.Device(512 + 100).At(2, 2, 1));
        _store.Add(3, 3, ImageBuilder.Device(1024).At(3, 3, 2));
        byte[] cut = [.. Filled(2)[..100], .. new byte[412]];
        Assert.Equal(cut, StateAt(1, ImageContent.BlockDevice, "xvda").Units[1].ToArray());
        Assert.Equal(cut, StateAt(2, ImageContent.BlockDevice, "xvda").Units[1].ToArray());
        Assert.Equal(Filled(2), StateAt(0, ImageContent.BlockDevice, "xvda").Units[1].ToArray());
    }

    [Fact]
    public void A_layer_is_in_a_chain_once()
    {
        string layer = ImageBuilder.Id(1).ToString("D");
        _store.Add(1, 1, ImageBuilder.Layers().At(1, 1).Blob(layer, [1]));
        _store.Add(2, 2, ImageBuilder.Layers().At(2, 2, 1).Blob(layer, [1]));
        Refuse.That("in a chain once", () => StateAt(1, ImageContent.Directory, "share"));
    }

    [Fact]
    public void Damage_keeps_nobody_from_the_rest()
    {
        _store.Add(1, 1, ImageBuilder.Memory(1).At(1, 1), ImageBuilder.Registers().At(1, 1));
        _store.Add(2, 2, ImageBuilder.Memory(1).At(2, 2));
        Directory.CreateDirectory(System.IO.Path.Combine(_store.Path, "99999999999999999999"));
        File.Delete(System.IO.Path.Combine(_store.DirectoryOf(1), $"{Domain}.inm"));
        File.WriteAllText(System.IO.Path.Combine(_store.DirectoryOf(2), "manifest.json"), "{}");
        Store store = Store.Read(_store.Path);
        Assert.Equal(2, store.Damage.Count);
        Assert.Empty(StateAt(0, ImageContent.Registers).Blobs);
        Refuse.That("has the part", () => StateAt(0, ImageContent.Memory));
        Assert.Single(store.Checkpoints);
    }

    // The note of section 6: from the newest run to the oldest, the first copy of a unit counts.
    [Fact]
    public void Backwards_gives_the_same_state()
    {
        Random random = new(20260304);
        for (int round = 0; round < 300; round++)
        {
            List<ImageFile> chain = [.. Enumerable.Range(0, 4).Select(_ => ImageFile.Read(RandomImage(random)))];
            PartState forwards = new();
            chain.ForEach(forwards.Apply);
            Assert.Equal(
                forwards.Units.Select(unit => (unit.Key, unit.Value.Span[0])),
                Backwards(chain).Select(unit => (unit.Key, unit.Value)));
        }
    }

    private static byte[] RandomImage(Random random)
    {
        uint units = (uint)random.Next(1, 20);
        ImageBuilder image = ImageBuilder.Memory(units);
        for (int record = random.Next(3); record > 0; record--)
        {
            List<byte> area = [];
            List<(ulong, uint, uint)> runs = [];
            for (int run = random.Next(1, 5); run > 0; run--)
            {
                uint first = (uint)random.Next((int)units);
                uint count = (uint)random.Next(1, (int)(units - first) + 1);
                uint runClass = (uint)random.Next(3);
                runs.Add((first, count, runClass));
                area.AddRange(Enumerable.Range(0, runClass == 0 ? (int)count : 0).SelectMany(_ => Enumerable.Repeat((byte)random.Next(1, 256), 4096)));
            }

            image.Runs([.. area], [.. runs]);
        }

        return image.Build();
    }

    private static SortedDictionary<ulong, byte> Backwards(List<ImageFile> chain)
    {
        SortedDictionary<ulong, byte> state = [];
        HashSet<ulong> seen = [];
        ulong bound = ulong.MaxValue;
        foreach (ImageFile image in chain.AsEnumerable().Reverse())
        {
            bound = Math.Min(bound, image.Header.UnitCount);
            foreach (Run run in image.Runs.Reverse())
            {
                for (uint i = 0; i < run.Count; i++)
                {
                    if (run.First + i < bound && seen.Add(run.First + i) && run.Class != RunClass.Unpopulated)
                    {
                        state.Add(run.First + i, run.Class == RunClass.Data ? run.Data.Span[(int)i * 4096] : (byte)0);
                    }
                }
            }
        }

        return state;
    }

    private FileTree TreeOf(params ImageBuilder[] chain)
    {
        PartState state = new();
        foreach (ImageBuilder image in chain)
        {
            state.Apply(ImageFile.Read(image.Build()));
        }

        return state.Tree();
    }

    private static ImageBuilder LayersOf(byte id, params LayerBuilder[] layers)
    {
        ImageBuilder image = ImageBuilder.Layers().At(id, id, (byte)(id - 1));
        foreach ((int i, LayerBuilder layer) in layers.Index())
        {
            image.Blob(ImageBuilder.Id((byte)((16 * id) + i)).ToString("D"), layer.Build());
        }

        return image;
    }

    [Fact]
    public void The_tree_of_a_chain()
    {
        LayerBuilder lowest = LayerBuilder.Rooted().File("a").File("b"), second = LayerBuilder.Rooted().Whiteout("a").File("c");
        Assert.Equal(["a", "b"], TreeOf(LayersOf(1, lowest)).Root!.Children.Keys);
        Assert.Equal(["b", "c"], TreeOf(LayersOf(1, lowest), LayersOf(2, second)).Root!.Children.Keys);
        Assert.Equal(["b", "c"], TreeOf(LayersOf(1, lowest), LayersOf(2), LayersOf(3, second)).Root!.Children.Keys);
        ImageBuilder folded = LayersOf(1, lowest, second);
        Refuse.That("a full image has one layer", () => TreeOf(folded));
        Assert.Equal(["b", "c"], TreeOf(folded.With(i => i.ChangeHeader = header => header[95] = 1)).Root!.Children.Keys);
        Refuse.That("a full image has one layer", () => TreeOf(LayersOf(1), LayersOf(2, lowest)));
        Refuse.That("a whole tree", () => TreeOf(LayersOf(1, second)));
        Refuse.That("a whole tree", () => TreeOf(LayersOf(1, LayerBuilder.Rooted().Opaque("d"))));
    }

    [Fact]
    public void The_channel_state_of_the_node()
    {
        ImageBuilder Channels(string name, byte value) =>
            new ImageBuilder { Content = ImageContent.Channels }.At(1, 1).Blob("console-ring", [9]).Blob(name, [value]);

        _store.Add(1, 1, Channels("node-channels", 7));
        _store.Add(2, 2, Channels("other", 7).At(2, 2), ImageBuilder.Registers().At(2, 2));
        _store.Add(3, 3, ImageBuilder.Registers().At(3, 3));
        Store store = Store.Read(_store.Path);
        Assert.Equal([7], Store.NodeChannels(store.Checkpoints[0]));
        Assert.Null(Store.NodeChannels(store.Checkpoints[1]));
        Assert.Null(Store.NodeChannels(store.Checkpoints[2]));

        File.AppendAllText(System.IO.Path.Combine(_store.DirectoryOf(1), $"{Domain}.com"), "x");
        Refuse.That("the channels of the least domain", () => Store.NodeChannels(Store.Read(_store.Path).Checkpoints[0]));
    }

    [Theory]
    [InlineData("00112233-4455-6677-8899-aabbccddeefe", false)]
    [InlineData("00112233-4455-6677-8899-aabbccddef00", true)]
    [InlineData("ff112233-4455-6677-8899-aabbccddeeff", true)]
    public void The_channel_state_is_in_the_image_of_the_least_domain(string other, bool found)
    {
        ImageBuilder image = new ImageBuilder { Content = ImageContent.Channels }.At(1, 1).Blob("node-channels", [7]);
        _store.OtherDomains = [Guid.Parse(other)];
        _store.Add(1, 1, image);
        Checkpoint checkpoint = Assert.Single(Store.Read(_store.Path).Checkpoints);
        if (found)
        {
            Assert.Equal([7], Store.NodeChannels(checkpoint));
            return;
        }

        Refuse.That("in the image of the least domain", () => Store.NodeChannels(checkpoint));
    }
}
