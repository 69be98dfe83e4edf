using System.Text;
using FsCheck;
using FsCheck.Fluent;
using Xunit;

namespace XenTwoLevelCkpt.Rpc.Tests;

/// <summary>Headers and trailers, as text.</summary>
public class WireTests
{
    private static readonly Config Quiet = Config.QuickThrowOnFailure.WithQuietOnSuccess(true);

    [Theory]
    [InlineData("1H", 3600_0000000)]
    [InlineData("2M", 120_0000000)]
    [InlineData("3S", 3_0000000)]
    [InlineData("4m", 40000)]
    [InlineData("5u", 50)]
    [InlineData("600n", 6)]
    [InlineData("1n", 1)]
    [InlineData("0S", 0)]
    [InlineData("00000001S", 1_0000000)]
    [InlineData("99999999H", 99999999L * 3600_0000000)]
    public void A_timeout_is_read(string text, long ticks)
    {
        Assert.True(GrpcTimeout.TryParse(text, out TimeSpan timeout));
        Assert.Equal(ticks, timeout.Ticks);
    }

    [Theory]
    [InlineData("")]
    [InlineData("1")]
    [InlineData("S")]
    [InlineData("1s")]
    [InlineData("1h")]
    [InlineData("1U")]
    [InlineData("-1S")]
    [InlineData("+1S")]
    [InlineData(" 1S")]
    [InlineData("1 S")]
    [InlineData("1S ")]
    [InlineData("1.5S")]
    [InlineData("123456789S")]
    [InlineData("0x1S")]
    [InlineData("١S")]
    public void A_malformed_timeout_is_refused(string text) => Assert.False(GrpcTimeout.TryParse(text, out _));

    [Fact]
    public void What_is_written_is_never_shorter_and_at_most_eight_digits() => Check.One(Quiet, Prop.ForAll(
        (from bits in Gen.Choose(1, 61)
         from seed in Gen.Choose(0, int.MaxValue)
         select new Random(seed).NextInt64(1L << bits)).ToArbitrary(),
        ticks =>
        {
            string text = GrpcTimeout.Format(new TimeSpan(ticks));
            Assert.True(GrpcTimeout.TryParse(text, out TimeSpan back), text);
            Assert.True(back.Ticks >= ticks, $"{ticks} became {text}");
            // The unit is the finest one, so eight digits are what is lost.
            Assert.True(back.Ticks - ticks <= Math.Max(1, ticks / 99_999), $"{ticks} became {text}");
        }));

    [Fact]
    public void A_message_survives_its_encoding() => Check.One(Quiet, Prop.ForAll<NonNull<string>>(text =>
    {
        string whole = Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text.Get));
        string encoded = StatusText.Encode(whole);
        Assert.DoesNotContain(encoded, c => c is < ' ' or > '~');
        Assert.Equal(whole, StatusText.Decode(encoded));
    }));

    [Theory]
    [InlineData("%")]
    [InlineData("%4")]
    [InlineData("%zz")]
    [InlineData("100% and %4g")]
    public void A_message_that_is_encoded_wrongly_stays(string text) => Assert.Equal(text, StatusText.Decode(text));

    [Fact]
    public void A_message_is_encoded_as_the_protocol_says()
    {
        Assert.Equal("a b~", StatusText.Encode("a b~"));
        Assert.Equal("%25 %C3%A9%0A", StatusText.Encode("% é\n"));
        Assert.Equal("é%", StatusText.Decode("%c3%A9%"));
    }

    [Fact]
    public void A_long_message_is_cut_between_characters()
    {
        string encoded = StatusText.Encode(new string('é', 4000));
        Assert.Equal(StatusText.MaxOctets * 3, encoded.Length);
        Assert.DoesNotContain('\uFFFD', StatusText.Decode(StatusText.Encode("x" + new string('é', 4000))));
        Assert.Equal(StatusText.MaxOctets, StatusText.Encode(new string('x', 5000)).Length);
    }

    [Fact]
    public void Octets_survive_their_encoding() => Check.One(Quiet, Prop.ForAll<byte[]>(octets =>
    {
        string text = MetadataEntry.ToBase64(octets);
        Assert.DoesNotContain('=', text);
        Assert.True(MetadataEntry.TryFromBase64(text, out byte[] back));
        Assert.Equal(octets, back);
        Assert.True(MetadataEntry.TryFromBase64(Convert.ToBase64String(octets), out back));
        Assert.Equal(octets, back);
    }));

    [Theory]
    [InlineData("A")]
    [InlineData("AB-_")]
    [InlineData("ABCDE")]
    [InlineData("é===")]
    public void What_is_no_base64_is_refused(string text) => Assert.False(MetadataEntry.TryFromBase64(text, out _));

    [Fact]
    public void Several_octets_may_come_as_one_value()
    {
        var metadata = new Metadata();
        Assert.True(metadata.TryTake("X-Bin", "AQ==,Ag"));
        Assert.Equal([[1], [2]], metadata.Entries.Select(e => e.Binary.ToArray()));
    }

    [Theory]
    [InlineData("")]
    [InlineData("Upper")]
    [InlineData("a b")]
    [InlineData(":path")]
    [InlineData("grpc-status")]
    [InlineData("content-type")]
    [InlineData("x-bin")]
    public void Names_that_cannot_be_sent_are_refused(string name) =>
        Assert.Throws<ArgumentException>(() => new Metadata().Add(name, "x"));

    [Theory]
    [InlineData("é")]
    [InlineData("a\nb")]
    [InlineData(" a")]
    public void Text_that_cannot_be_sent_is_refused(string value) =>
        Assert.Throws<ArgumentException>(() => new Metadata().Add("x", value));

    [Fact]
    public void Octets_need_their_suffix()
    {
        _ = Assert.Throws<ArgumentException>(() => new Metadata().Add("x", new byte[1]));
        _ = Assert.Throws<InvalidOperationException>(() => Metadata.Empty.Add("x", "y"));
    }
}
