using System.Diagnostics;
using XenTwoLevelCkpt.Checkpointing.Disks;
using Xunit;

namespace XenTwoLevelCkpt.Checkpointing.Tests.Disks;

public sealed class DiskRegistryTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("xtl-disks-").FullName;

    internal static PoolRecord Pool { get; } = new("p", "/dev/a", "/dev/b", 128, 0, []);

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void What_is_written_is_read()
    {
        var registry = new DiskRegistry(_folder);
        Assert.Empty(registry.Read().Pools);
        var checkpoint = Guid.NewGuid();
        var volume = new VolumeRecord(
            "v", "p", 3, 1 << 26, new SealedRecord(checkpoint, 4), 5, 6,
            [new KeptRecord(7, 1 << 26, new DateTimeOffset(2026, 3, 4, 5, 6, 7, TimeSpan.Zero), checkpoint)]);
        var directory = new DirectoryRecord(
            "d", "/dirs/d", 9, [new LayerRecord(1, checkpoint), new LayerRecord(2, checkpoint)], 3,
            new SealedLayers(checkpoint, 2, 3), new PendingLayer(checkpoint, 4), [5],
            [new KeptLayers([new LayerRecord(6, checkpoint)], 7, DateTimeOffset.UnixEpoch, checkpoint)], [8]);
        DiskState written = registry.Update(s => s.With(Pool with { Unwanted = [9] }).With(volume).With(directory));
        DiskState read = new DiskRegistry(_folder).Read();
        Assert.Equivalent(written, read, strict: true);
        Assert.Equal(["/dev/mapper/xtl-v"], read.Volumes.Select(v => v.Path));
        Assert.Equal([3, 4, 5, 6, 7], read.Volumes[0].ThinIds);
        Assert.Equal(
            UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(registry.Path));
    }

    [Fact]
    public void The_file_is_text_that_an_operator_can_correct()
    {
        var registry = new DiskRegistry(_folder);
        var checkpoint = new Guid("11223344-5566-7788-99aa-bbccddeeff00");
        var volume = new VolumeRecord(
            "v", "p", 3, 4096, new SealedRecord(checkpoint, 4), null, 6,
            [new KeptRecord(7, 4096, new DateTimeOffset(2026, 3, 4, 5, 6, 7, TimeSpan.Zero), checkpoint)]);
        _ = registry.Update(s => s.With(Pool with { Unwanted = [9] }).With(volume));
        Assert.Equal(
            """
            {
              "format": "xtl-disks",
              "version": 2,
              "disks": {
                "pools": [
                  {
                    "name": "p",
                    "data": "/dev/a",
                    "metadata": "/dev/b",
                    "blockSectors": 128,
                    "lastThinId": 0,
                    "unwanted": [
                      9
                    ]
                  }
                ],
                "volumes": [
                  {
                    "name": "v",
                    "pool": "p",
                    "thinId": 3,
                    "length": 4096,
                    "sealed": {
                      "checkpoint": "11223344-5566-7788-99aa-bbccddeeff00",
                      "thinId": 4
                    },
                    "pending": null,
                    "restoring": 6,
                    "kept": [
                      {
                        "thinId": 7,
                        "length": 4096,
                        "since": "2026-03-04T05:06:07+00:00",
                        "restoredTo": "11223344-5566-7788-99aa-bbccddeeff00"
                      }
                    ]
                  }
                ],
                "directories": []
              }
            }
            """,
            File.ReadAllText(registry.Path));
    }

    [Fact]
    public void A_record_from_before_there_were_directories_is_read_and_kept()
    {
        var registry = new DiskRegistry(_folder);
        File.WriteAllText(registry.Path, """
            {"format":"xtl-disks","version":1,"disks":{
              "pools":[{"name":"p","data":"/dev/a","metadata":"/dev/b","blockSectors":128,"lastThinId":1,"unwanted":[]}],
              "volumes":[{"name":"v","pool":"p","thinId":1,"length":4096,"sealed":null,"pending":null,"restoring":null,
                "kept":[]}]}}
            """);
        Assert.Equal("v", Assert.Single(registry.Read().Volumes).Name);
        Assert.Empty(registry.Read().Directories);
        _ = registry.Update(s => s.With(Pool with { LastThinId = 7 }));
        Assert.Equal("v", Assert.Single(registry.Read().Volumes).Name);
        Assert.Equal(7, Assert.Single(registry.Read().Pools).LastThinId);
        Assert.Contains("\"version\": 2", File.ReadAllText(registry.Path), StringComparison.Ordinal);
    }

    [Fact]
    public void A_change_that_fails_changes_nothing()
    {
        var registry = new DiskRegistry(_folder);
        _ = registry.Update(s => s.With(Pool));
        byte[] before = File.ReadAllBytes(registry.Path);
        _ = Assert.Throws<DiskException>(() => registry.Update(s => s.With(s.Volume("none"))));
        Assert.Equal(before, File.ReadAllBytes(registry.Path));
    }

    [Fact]
    public void A_process_that_ended_while_it_wrote_has_changed_nothing()
    {
        var registry = new DiskRegistry(_folder);
        _ = registry.Update(s => s.With(Pool));
        byte[] whole = File.ReadAllBytes(registry.Path);

        // All that a process killed before the rename leaves: some beginning of the temporary file.
        for (int length = 0; length < whole.Length; length += 7)
        {
            File.WriteAllBytes(registry.Path + ".tmp", whole[..length]);
            Assert.Equal("p", Assert.Single(new DiskRegistry(_folder).Read().Pools).Name);
        }

        _ = registry.Update(s => s.With(Pool with { LastThinId = 8 }));
        Assert.Equal(8, registry.Read().Pools[0].LastThinId);
        Assert.False(File.Exists(registry.Path + ".tmp"));
    }

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("{}")]
    [InlineData("null")]
    [InlineData("{\"format\":\"xtl-disks\",\"version\":2,\"disks\":{\"pools\":[],\"volumes\":[]}}")]
    [InlineData("{\"format\":\"xtl-disks\",\"version\":3,\"disks\":{\"pools\":[],\"volumes\":[],\"directories\":[]}}")]
    [InlineData("{\"format\":\"xtl-disks\",\"version\":1,\"disks\":{\"pools\":[],\"volumes\":[],\"directories\":[]}}")]
    [InlineData("{\"format\":\"xtl-disks\",\"version\":\"2\",\"disks\":null}")]
    [InlineData("[]")]
    [InlineData("{\"format\":\"other\",\"version\":1,\"disks\":{\"pools\":[],\"volumes\":[]}}")]
    [InlineData("{\"format\":\"xtl-disks\",\"version\":1,\"disks\":{\"pools\":[]}}")]
    [InlineData("{\"format\":\"xtl-disks\",\"version\":1,\"disks\":{\"pools\":[],\"volumes\":[],\"more\":1}}")]
    [InlineData("{\"format\":\"xtl-disks\",\"version\":1,\"disks\":{\"pools\":null,\"volumes\":[]}}")]
    public void A_file_that_makes_no_sense_is_left_as_it_is(string text)
    {
        var registry = new DiskRegistry(_folder);
        File.WriteAllText(registry.Path, text);
        DiskException e = Assert.Throws<DiskException>(() => registry.Update(s => s.With(Pool)));
        Assert.Contains(registry.Path, e.Message, StringComparison.Ordinal);
        Assert.Equal(text, File.ReadAllText(registry.Path));
    }

    [Fact]
    public async Task Changes_of_several_at_once_are_all_there()
    {
        _ = new DiskRegistry(_folder).Update(s => s.With(Pool));
        const int WouldBlock = 11;
        long start = Stopwatch.GetTimestamp();
        await Task.WhenAll(Enumerable.Range(0, 4).Select(worker => Task.Run(() =>
        {
            var registry = new DiskRegistry(_folder);
            for (int i = 0; i < 10;)
            {
                try
                {
                    _ = registry.Update(s => s.With(s.Pool("p") with { LastThinId = s.Pool("p").LastThinId + 1 }));
                    i++;
                }
                catch (IOException e) when (
                    e.HResult == WouldBlock && Stopwatch.GetElapsedTime(start) < TimeSpan.FromMinutes(5))
                {
                    // The others had the lock for as long as one waits: where an fsync takes seconds, they may.
                }
            }
        })));
        Assert.Equal(40, new DiskRegistry(_folder).Read().Pools[0].LastThinId);
    }

    [Fact]
    public void A_thin_id_in_use_is_not_given_again()
    {
        var volume = new VolumeRecord("v", "p", 1, 4096, new SealedRecord(Guid.NewGuid(), 2), 3, 4,
            [new KeptRecord(5, 4096, DateTimeOffset.UnixEpoch, Guid.NewGuid())]);
        DiskState state = DiskState.Empty.With(Pool with { Unwanted = [6] }).With(volume);
        Assert.Equal(7, state.NextThinId("p"));
        Assert.Equal(0, state.With(Pool with { LastThinId = PoolRecord.MaxThinId }).NextThinId("p"));
        Assert.Equal(
            7, state.With(Pool with { LastThinId = PoolRecord.MaxThinId, Unwanted = [0, 6] }).NextThinId("p"));
    }
}
