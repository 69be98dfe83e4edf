using System.Text;
using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Checkpointing.Disks.Thin;
using XenTwoLevelCkpt.NativeInterop.Devices;
using Xunit;

namespace XenTwoLevelCkpt.Checkpointing.Tests.Disks;

/// <summary>Outputs as simple_emitter (thin_delta.cc, 0.9.0) and SimpleXmlWriter (delta_visitor.rs, 1.3.3) write them.
/// </summary>
public sealed class ThinDeltaTests
{
    private const string Cpp = """
        <superblock uuid="" time="2" transaction="0" data_block_size="128" nr_data_blocks="1024" metadata_snap="33">
          <diff left="1" right="2">
            <same begin="0" length="4"/>
            <different begin="4" length="1"/>
            <left_only begin="7" length="2"/>
            <right_only begin="9" length="3"/>
          </diff>
        </superblock>

        """;

    [Fact]
    public void Changes_are_read_and_sameness_left_out() => Assert.Equal(
        [
            new ThinRange(ThinChange.Replaced, 4, 1), new ThinRange(ThinChange.Removed, 7, 2),
            new ThinRange(ThinChange.Added, 9, 3),
        ],
        Parse(Cpp));

    [Fact]
    public void The_Rust_tool_writes_more_attributes() => Assert.Equal(
        [new ThinRange(ThinChange.Added, 0, 16384)],
        Parse("""
            <superblock uuid="" time="1" transaction="3" flags="0" data_block_size="128" nr_data_blocks="16384">
              <diff left="1" right="2">
                <right_only begin="0" length="16384"/>
              </diff>
            </superblock>
            """));

    [Theory]
    [InlineData("<diff left=\"1\" right=\"2\"/>")]
    [InlineData("<diff left=\"1\" right=\"2\">\n  </diff>")]
    public void Nothing_may_have_changed(string diff) => Assert.Empty(Parse(Wrap(diff)));

    [Fact]
    public void Output_that_was_cut_anywhere_is_refused()
    {
        string whole = Cpp.TrimEnd();
        for (int length = 0; length < whole.Length; length++)
        {
            _ = Assert.Throws<DiskException>(() => Parse(whole[..length]));
        }
    }

    [Theory]
    [InlineData("left=\"1\"", "left=\"3\"", "left is 3, not 1")]
    [InlineData("right=\"2\"", "right=\"1\"", "right is 1, not 2")]
    [InlineData("data_block_size=\"128\"", "data_block_size=\"256\"", "data_block_size is 256, not 128")]
    [InlineData("<left_only", "<moved", "element <moved> is not known")]
    [InlineData("begin=\"7\"", "begin=\"-7\"", "no number 'begin'")]
    [InlineData("begin=\"7\"", "begin=\"4\"", "does not lie behind block 5")]
    [InlineData("length=\"3\"", "length=\"0\"", "range 9+0")]
    [InlineData("length=\"3\"", "length=\"9223372036854775807\"", "range 9+")]
    [InlineData("length=\"3\"", "", "no number 'length'")]
    [InlineData("<diff", "<device", "<diff> was expected")]
    public void What_is_not_understood_is_refused(string from, string to, string message)
    {
        string changed = Cpp.Replace(from, to, StringComparison.Ordinal)
            .Replace("</diff>", from == "<diff" ? "</device>" : "</diff>", StringComparison.Ordinal);
        DiskException e = Assert.Throws<DiskException>(() => Parse(changed));
        Assert.Contains(message, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_verbose_form_is_refused()
    {
        // Its ranges are inside <different>, which has no attributes of its own.
        _ = Assert.Throws<DiskException>(() => Parse(Wrap("""
            <diff left="1" right="2">
              <different>
                <range begin="4" left_data_begin="8" right_data_begin="9" length="1"/>
              </different>
            </diff>
            """)));
    }

    [Theory]
    [InlineData("0 84/1024 12/512 - rw discard_passdown queue_if_no_space - 1024", null)]
    [InlineData("0 84/1024 12/512 33 rw no_discard_passdown error_if_no_space - 1024", null)]
    [InlineData("0 84/1024 512/512 - rw discard_passdown queue_if_no_space - 1024", "no free block")]
    [InlineData("0 84/1024 512/512 - out_of_data_space discard_passdown queue_if_no_space - 1024", "out_of_data_space")]
    [InlineData("0 1010/1024 1/512 - rw discard_passdown queue_if_no_space - 1024", "metadata device is full")]
    [InlineData("0 84/1024 1/512 - ro discard_passdown queue_if_no_space needs_check 1024", "checked")]
    [InlineData("Fail", "checked")]
    public void A_pool_that_cannot_take_a_snapshot_says_why(string status, string? problem)
    {
        PoolStatus parsed = PoolStatus.Parse(new DmTarget(0, 65536, "thin-pool", status));
        if (problem is null)
        {
            Assert.Null(parsed.Problem);
        }
        else
        {
            Assert.Contains(problem, parsed.Problem, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_held_snapshot_of_the_metadata_is_seen()
    {
        const string Held = "0 84/1024 12/512 33 rw discard_passdown queue_if_no_space - 1024";
        Assert.True(PoolStatus.Parse(new DmTarget(0, 8, "thin-pool", Held)).HasMetadataSnapshot);
        Assert.False(PoolStatus.Parse(new DmTarget(0, 8, "thin-pool", Held.Replace(" 33 ", " - ", StringComparison.Ordinal)))
            .HasMetadataSnapshot);
        _ = Assert.Throws<DiskException>(() => PoolStatus.Parse(new DmTarget(0, 8, "thin", Held)));
        _ = Assert.Throws<DiskException>(() => PoolStatus.Parse(new DmTarget(0, 8, "thin-pool", "")));
    }

    private static string Wrap(string diff) =>
        "<superblock uuid=\"\" time=\"2\" transaction=\"0\" data_block_size=\"128\" nr_data_blocks=\"1024\">\n"
        + $"  {diff}\n</superblock>\n";

    private static IReadOnlyList<ThinRange> Parse(string xml) =>
        ThinDelta.Parse(new MemoryStream(Encoding.UTF8.GetBytes(xml)), older: 1, newer: 2, blockSectors: 128);
}
