using System.Security.Cryptography;
using System.Text;
using Xunit;

namespace XenTwoLevelCkpt.Images.SecondReader.Tests;

// Damage under checksums that are right: it is refused or makes no difference to the rules, and nothing else happens.
public sealed class DamageTests
{
    private static void ReadsOrRefuses(Action read)
    {
        try
        {
            read();
        }
        catch (FormatViolationException)
        {
            // Refused, as most of them are.
        }
    }

    [Fact]
    public void Images()
    {
        byte[] sevens = [0x1F, 7, 1, 0, 255, 232, 0x50, 7, 7, 7, 7, 7];
        Random random = new(1);
        for (int round = 0; round < 5_000; round++)
        {
            void Change(byte[] octets)
            {
                for (int i = random.Next(3); i > 0 && octets.Length > 0; i--)
                {
                    octets[random.Next(octets.Length)] = (byte)(random.Next(2) == 0 ? random.Next(256) : 255);
                }
            }

            void Configure(ImageBuilder image)
            {
                image.Compression = 1;
                image.ChangePayload = Change;
                image.ChangeEnd = random.Next(8) == 0 ? Change : _ => { };
                image.ChangeHeader = random.Next(8) == 0 ? header => Change(header) : _ => { };
            }

            ImageBuilder device = ImageBuilder.Device(2048).With(Configure).Runs(1, sevens, (3, 1, 0), (0, 2, 1));
            ReadsOrRefuses(() => ImageFile.Read(device.Build()));
            ImageBuilder registers = ImageBuilder.Registers().With(Configure).Blob("a", sevens, 0, true, 1, 512);
            ReadsOrRefuses(() => ImageFile.Read(registers.Build()));
            ImageBuilder layers = ImageBuilder.Layers().WithoutRecords().With(Configure).Disk(0, "share");
            ReadsOrRefuses(() => ImageFile.Read(layers.Build()));
        }
    }

    [Fact]
    public void Lz4_blocks()
    {
        Random random = new(2);
        byte[] data = new byte[300];
        for (int round = 0; round < 20_000; round++)
        {
            byte[] block = new byte[random.Next(40)];
            random.NextBytes(block);
            // Short offsets, so that matches are met inside the data.
            for (int i = 0; i < block.Length; i++)
            {
                block[i] &= (byte)(random.Next(3) == 0 ? 0xFF : 0x03);
            }

            ReadsOrRefuses(() => Lz4Block.Decode(block, data.AsSpan(0, random.Next(data.Length))));
        }
    }

    [Theory]
    [InlineData("\"x\":\"\\ud800\",")]
    [InlineData("\"x\":1e999999,")]
    public void Odd_members_that_are_not_known_are_ignored(string member) =>
        Assert.Equal(5u, Manifest.Parse(Sealed(Encoding.UTF8.GetBytes(Body(member)))).Epoch);

    [Fact]
    public void The_name_of_a_member_is_text() =>
        Refuse.That("name of a member", () => Manifest.Parse(Sealed(Encoding.UTF8.GetBytes(Body("\"\\ud800\":1,")))));

    [Fact]
    public void Manifests()
    {
        Random random = new(3);
        byte[] whole = Encoding.UTF8.GetBytes(Body("\"more\":[{\"a\\u0041\":[]}],"));
        for (int round = 0; round < 5_000; round++)
        {
            byte[] body = [.. whole];
            for (int i = random.Next(1, 4); i > 0; i--)
            {
                body[random.Next(body.Length)] = (byte)(random.Next(2) == 0 ? random.Next(256) : "\"\\,:{}[]u0"[random.Next(10)]);
            }

            ReadsOrRefuses(() => Manifest.Parse(Sealed(body)));
        }
    }

    private static string Body(string more) =>
        $"{{{more}\"format\":\"xtl-checkpoint\",\"version\":1,\"id\":\"{ImageBuilder.Id(1):D}\",\"epoch\":5,\"index\":0," +
        "\"captured\":\"1970-01-01T00:00:00.000000Z\",\"label\":\"\",\"node\":\"\\u006e\"," +
        $"\"domains\":[{{\"uuid\":\"{ImageBuilder.SomeDomain:D}\",\"name\":\"guest\",\"parts\":[]}}]";

    private static byte[] Sealed(byte[] body) =>
        [.. body, .. Encoding.ASCII.GetBytes($",\"sha256\":\"{Convert.ToHexStringLower(SHA256.HashData(body))}\"}}\n")];
}
