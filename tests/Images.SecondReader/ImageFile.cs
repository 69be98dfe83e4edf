using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Images.SecondReader;

/// <summary>An image that was read and checked as a whole (sections 3 to 5).</summary>
public sealed class ImageFile
{
    private readonly List<Run> _runs = [];

    private ImageFile(OctetSource source)
    {
        Header = ImageHeader.Read(source);
        Totals totals = new(Header);
        BlobCollector blobs = new(Header);
        ImageRecord record;
        for (bool isFirst = true; (record = ImageRecord.Read(source)).Type != RecordType.End; isFirst = false)
        {
            Rule.Require(
                !Header.HasDisk || isFirst == (record.Type == RecordType.Disk),
                "5",
                "in contents 3 and 4, DISK is the first record, and comes once");
            totals.AddRecord(record);
            Take(record, totals, blobs);
        }

        Rule.Require(!Header.HasDisk || Disk is not null, "5", "in contents 3 and 4, DISK is the first record");
        Rule.Require(source.IsAtEnd(), "3", "the file ends with END");
        End = ImageEnd.Decode(record.Payload);
        Blobs = blobs.Finish();
        totals.Check(End, blobs.DataOctets, source.Position);
        Digest = source.Digest();
    }

    /// <summary>The header.</summary>
    public ImageHeader Header { get; }

    /// <summary>The fields of END.</summary>
    public ImageEnd End { get; }

    /// <summary>The runs, in the order in which they are applied.</summary>
    public IReadOnlyList<Run> Runs => _runs;

    /// <summary>The blobs, or the layers with the lowest first.</summary>
    public IReadOnlyList<Blob> Blobs { get; }

    /// <summary>The digest of section 5.7, in lower-case hexadecimal digits.</summary>
    public string Digest { get; }

    /// <summary>The disk, in the contents block device and directory.</summary>
    public Disk? Disk { get; private set; }

    /// <summary>The number of optional records of unknown types.</summary>
    public int SkippedRecords { get; private set; }

    /// <summary>Reads and checks the image in the file <paramref name="path"/>.</summary>
    /// <exception cref="FormatViolationException">The image breaks a rule of the format.</exception>
    public static ImageFile Read(string path)
    {
        using FileStream stream = new(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 16, FileOptions.SequentialScan);
        return new ImageFile(new OctetSource(stream));
    }

    /// <summary>Reads and checks the image in <paramref name="image"/>.</summary>
    /// <exception cref="FormatViolationException">The image breaks a rule of the format.</exception>
    public static ImageFile Read(ReadOnlyMemory<byte> image)
    {
        ArraySegment<byte> octets = MemoryMarshal.TryGetArray(image, out ArraySegment<byte> segment) ? segment : image.ToArray();
        using MemoryStream stream = new(octets.Array!, octets.Offset, octets.Count, writable: false);
        return new ImageFile(new OctetSource(stream));
    }

    private void Take(ImageRecord record, Totals totals, BlobCollector blobs)
    {
        switch (record.Type)
        {
            case RecordType.Runs:
                Rule.Require(Header.HasUnits, "5", "RUNS comes in contents 2 and 3 only");
                foreach (Run run in RunsRecord.Decode(Header, record.Payload))
                {
                    Disk?.CheckTail(Header, run);
                    totals.AddRun(run);
                    _runs.Add(run);
                }

                break;
            case RecordType.Blob:
                Rule.Require(Header.HasBlobs, "5", "BLOB comes in contents 1, 4 and 5 only");
                blobs.Add(record.Payload);
                break;
            case RecordType.Disk:
                Rule.Require(Header.HasDisk, "5", "DISK comes in contents 3 and 4 only");
                Disk = Disk.Decode(Header, record.Payload);
                break;
            default:
                SkippedRecords++;
                break;
        }
    }
}
