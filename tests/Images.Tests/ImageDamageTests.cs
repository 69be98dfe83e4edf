using XenTwoLevelCkpt.Images.Format;
using Xunit;

namespace XenTwoLevelCkpt.Images.Tests;

public class ImageDamageTests
{
    public static TheoryData<ImageCompression> Compressions => new(ImageCompression.None, ImageCompression.Lz4);

    [Theory]
    [MemberData(nameof(Compressions))]
    public void Every_changed_byte_is_found(ImageCompression compression)
    {
        byte[] image = Sample.Small(compression);
        for (int at = 0; at < image.Length; at++)
        {
            foreach (byte mask in (ReadOnlySpan<byte>)[0x01, 0x20, 0x80, 0xff])
            {
                byte[] damaged = [.. image];
                damaged[at] ^= mask;
                Assert.True(Fails(damaged), $"byte {at} ^ {mask:x2} was not found");
            }
        }
    }

    [Fact]
    public void Every_truncation_is_found()
    {
        byte[] image = Sample.Small();
        for (int length = 0; length < image.Length; length++)
        {
            Assert.True(Fails(image[..length]), $"a cut after {length} bytes was not found");
        }

        Assert.True(Fails([.. image, 0]));
        Assert.False(Fails(image));
    }

    private static bool Fails(byte[] image)
    {
        try
        {
            using var reader = new ImageReader(new MemoryStream(image), "sample");
            _ = reader.ReadToEnd(new MemoryModel(Sample.Unit));
            return false;
        }
        catch (ImageCorruptException)
        {
            return true;
        }
    }
}
