using System.Numerics;
using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Images.Format;

/// <summary>What a finished image's file must be.</summary>
/// <param name="Trailer">The image's last record.</param>
/// <param name="Length">Bytes of the file.</param>
/// <param name="Digest">SHA-256 of the image's frame (docs/checkpoint-format.md, section 5.7), in lower-case hexadecimal.</param>
public sealed record ImageSummary(ImageTrailer Trailer, long Length, string Digest);

/// <summary>Writes an image: appends only, with a bounded number of buffers and no allocation per unit.</summary>
/// <remarks>
/// One thread uses it at a time. After a failure every further call throws the same again; the file must then be
/// removed. The writer does not own the stream, and does not sync it.
/// </remarks>
public sealed partial class ImageWriter : IDisposable
{
    private readonly string _file;
    private readonly ImageOutput _output;
    private readonly BatchPipeline _pipeline;
    private long _dataUnits;
    private long _zeroUnits;
    private long _unpopulatedUnits;
    private long _blobBytes;
    private DiskInfo? _disk;
    private bool _complete;

    /// <summary>Writes the header and makes ready.</summary>
    /// <param name="stream">Receives the image from its first byte on.</param>
    /// <param name="header">What the image is.</param>
    /// <param name="file">The file's name for messages.</param>
    /// <param name="options">How to work; the defaults where null.</param>
    /// <exception cref="ArgumentException">The header or the options make no image.</exception>
    /// <exception cref="ImageWriteException">The header could not be written.</exception>
    public ImageWriter(Stream stream, ImageHeader header, string file, ImageWriterOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(stream);
        ArgumentNullException.ThrowIfNull(header);
        options ??= new ImageWriterOptions();
        if (header.Problem() is { } problem)
        {
            throw new ArgumentException($"The header makes no image: {problem}.", nameof(header));
        }

        if (options.BatchSize is < 4096 or > ImageFormat.MaxData || !BitOperations.IsPow2(options.BatchSize)
            || options.CompressionThreads is < 0 or > 64)
        {
            throw new ArgumentException("The batch size or the number of threads is out of range.", nameof(options));
        }

        Header = header with { Created = Timestamp.Rounded(header.Created) };
        _file = file;
        _output = new ImageOutput(stream, file);
        try
        {
            _output.WriteHeader(header);
        }
        catch
        {
            _output.Dispose();
            throw;
        }

        _pipeline = new BatchPipeline(
            _output, header.Compression, options.CompressionThreads, Math.Max(options.BatchSize, header.UnitSize));
    }

    /// <summary>The image's header.</summary>
    public ImageHeader Header { get; }

    /// <summary>Octets that have gone to the file so far.</summary>
    internal long Length => _output.Length;

    /// <summary>Adds units, of which those that are all zeros are stored without data.</summary>
    /// <param name="runs">The units.</param>
    /// <param name="data">Their bytes, one unit after the other.</param>
    /// <exception cref="ArgumentException">The runs are not units of this image, or do not match the data.</exception>
    /// <exception cref="ImageWriteException">The image could not be written.</exception>
    public void AddUnits(ReadOnlySpan<PfnRun> runs, ReadOnlySpan<byte> data)
    {
        foreach (PfnRun run in runs)
        {
            long length = (long)run.Count * Header.UnitSize;
            if (length > data.Length)
            {
                throw new ArgumentException("There is less data than the runs have units.", nameof(data));
            }

            AddUnits(run, data[..(int)length]);
            data = data[(int)length..];
        }

        if (!data.IsEmpty)
        {
            throw new ArgumentException("There is more data than the runs have units.", nameof(data));
        }
    }

    /// <summary>Adds the units of one run; see <see cref="AddUnits(ReadOnlySpan{PfnRun}, ReadOnlySpan{byte})"/>.
    /// </summary>
    /// <param name="run">The units.</param>
    /// <param name="data">Their bytes.</param>
    /// <exception cref="ArgumentException">The run is none of this image, or does not match the data.</exception>
    /// <exception cref="ImageWriteException">The image could not be written.</exception>
    public void AddUnits(PfnRun run, ReadOnlySpan<byte> data)
    {
        Check(run);
        int unit = Header.UnitSize;
        if (data.Length != (long)run.Count * unit)
        {
            throw new ArgumentException(
                $"{run.Count} units of {unit} bytes are not {data.Length} bytes.", nameof(data));
        }

        if (run.End == Header.UnitCount && _disk?.HasZeroTail(data, unit) == false)
        {
            throw new ArgumentException("The last block is not zero behind the end of the device.", nameof(data));
        }

        // Stretches of one kind: a copy and a run each, however many units they have.
        int done = 0;
        while (done < run.Count)
        {
            bool zero = IsZero(data.Slice(done * unit, unit));
            int end = done + 1;
            while (end < run.Count && IsZero(data.Slice(end * unit, unit)) == zero)
            {
                end++;
            }

            if (zero)
            {
                AddWithoutData(new PfnRun(run.First + done, end - done), RunClass.Zero);
            }
            else
            {
                AddData(run.First + done, data[(done * unit)..(end * unit)]);
            }

            done = end;
        }
    }

    /// <summary>Adds units that are all zeros.</summary>
    /// <param name="run">The units.</param>
    /// <exception cref="ArgumentException">The run is none of this image.</exception>
    /// <exception cref="ImageWriteException">The image could not be written.</exception>
    public void AddZero(PfnRun run)
    {
        Check(run);
        AddWithoutData(run, RunClass.Zero);
    }

    /// <summary>Says of units that they do not exist any more.</summary>
    /// <param name="run">The units.</param>
    /// <exception cref="ArgumentException">The run is none of this image.</exception>
    /// <exception cref="InvalidOperationException">Blocks of a device always exist.</exception>
    /// <exception cref="ImageWriteException">The image could not be written.</exception>
    public void AddUnpopulated(PfnRun run)
    {
        if (Header.Content == ImageContent.BlockDevice)
        {
            throw new InvalidOperationException("Blocks of a device do not cease to exist; they can be zero.");
        }

        Check(run);
        AddWithoutData(run, RunClass.Unpopulated);
    }

    /// <summary>Says which disk the image belongs to. Comes first in images of disks.</summary>
    /// <param name="disk">The disk.</param>
    /// <exception cref="ArgumentException">The disk contradicts the header.</exception>
    /// <exception cref="ImageWriteException">The image could not be written.</exception>
    public void AddDisk(DiskInfo disk)
    {
        ArgumentNullException.ThrowIfNull(disk);
        if (Header.Content is not (ImageContent.BlockDevice or ImageContent.Directory) || _disk is not null)
        {
            throw new InvalidOperationException("An image of a disk names its disk once, other images name none.");
        }

        if (disk.Length < 0 || disk.Problem(Header) is { })
        {
            throw new ArgumentException($"The disk contradicts the header: {disk.Problem(Header)}.", nameof(disk));
        }

        byte[] payload = disk.Encode();
        _disk = disk;
        _pipeline.Current.SetDisk(payload);
        _pipeline.Submit();
    }

    /// <summary>Writes what was added so far, and waits until the stream has it.</summary>
    /// <remarks>Ends the present record, so it costs compression where it is called for few units.</remarks>
    /// <exception cref="ImageWriteException">The image could not be written.</exception>
    public void Flush()
    {
        SubmitCurrent();
        _pipeline.Drain();
    }

    /// <summary>Writes the END record; nothing can be added after it.</summary>
    /// <param name="closing">Which checkpoint it was.</param>
    /// <returns>What the file must be. It is not synced yet.</returns>
    /// <exception cref="ImageWriteException">The image could not be written.</exception>
    public ImageSummary Complete(CheckpointClosing closing)
    {
        ArgumentNullException.ThrowIfNull(closing);
        Names.CheckLabel(closing.Label);
        CheckContent(Header.Content);
        if (_blob is not null)
        {
            throw new InvalidOperationException("A blob has no end.");
        }

        Flush();
        _complete = true;
        var trailer = new ImageTrailer
        {
            Totals = new ImageTotals
            {
                Records = _output.Records,
                DataUnits = _dataUnits,
                ZeroUnits = _zeroUnits,
                UnpopulatedUnits = _unpopulatedUnits,
                BlobBytes = _blobBytes,
                FileLength = _output.Length + ImageFormat.EndSize,
            },
            Closing = closing with { Captured = Timestamp.Rounded(closing.Captured) },
            Rolling = _output.Rolling,
        };
        _output.WriteEnd(trailer);
        return new ImageSummary(trailer, _output.Length, _output.Digest());
    }

    /// <summary>Ends the writer's threads. An image that was not completed is one that every reader rejects.</summary>
    public void Dispose()
    {
        _pipeline.Dispose();
        _output.Dispose();
    }

    // Vectorised by the runtime, up to 64 bytes a step. Most pages that hold something end the search at once.
    private static bool IsZero(ReadOnlySpan<byte> unit) => !unit.ContainsAnyExcept((byte)0);

    private void AddData(long first, ReadOnlySpan<byte> data)
    {
        while (!data.IsEmpty)
        {
            int added = _pipeline.Current.Add(first, data, Header.UnitSize);
            if (added == 0)
            {
                SubmitCurrent();
                continue;
            }

            _dataUnits += added;
            first += added;
            data = data[(added * Header.UnitSize)..];
        }
    }

    private void AddWithoutData(PfnRun run, RunClass @class)
    {
        if (!_pipeline.Current.TryAdd(run, @class))
        {
            SubmitCurrent();
            _ = _pipeline.Current.TryAdd(run, @class);
        }

        if (@class == RunClass.Zero)
        {
            _zeroUnits += run.Count;
        }
        else
        {
            _unpopulatedUnits += run.Count;
        }
    }

    private void SubmitCurrent()
    {
        _pipeline.ThrowIfFailed();
        if (!_pipeline.Current.IsEmpty)
        {
            _pipeline.Submit();
        }
    }

    private void Check(PfnRun run)
    {
        if (!Header.HasUnits)
        {
            throw new InvalidOperationException($"An image of {Header.Content} has no units.");
        }

        CheckContent(Header.Content);
        if (run.Count <= 0 || run.First < 0 || run.First > Header.UnitCount - run.Count)
        {
            throw new ArgumentException(
                $"Units [{run.First}, {run.First + run.Count}) are none of the image's {Header.UnitCount}.",
                nameof(run));
        }
    }

    private void CheckContent(ImageContent content)
    {
        if (_complete)
        {
            throw new InvalidOperationException($"Image {_file} is complete.");
        }

        if (content is ImageContent.BlockDevice or ImageContent.Directory && _disk is null)
        {
            throw new InvalidOperationException("An image of a disk begins with its disk.");
        }
    }
}
