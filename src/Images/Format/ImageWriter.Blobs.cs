namespace XenTwoLevelCkpt.Images.Format;

/// <summary>Blobs and layers.</summary>
public sealed partial class ImageWriter
{
    private readonly HashSet<string> _blobs = new(StringComparer.Ordinal);

    // The blob that is being written, and the number of its next part.
    private byte[]? _blob;
    private uint _blobPart;

    /// <summary>Adds a blob.</summary>
    /// <param name="name">Its name: 1 to <see cref="ImageFormat.MaxNameLength"/> bytes of UTF-8; once an image.</param>
    /// <param name="content">Its bytes.</param>
    /// <exception cref="ArgumentException">The name cannot be stored, or is taken.</exception>
    /// <exception cref="ImageWriteException">The image could not be written.</exception>
    public void AddBlob(string name, ReadOnlySpan<byte> content)
    {
        CheckBlob();
        AddBlobPart(name, content, last: true);
    }

    /// <summary>Adds a blob of any length.</summary>
    /// <param name="name">Its name, as for <see cref="AddBlob(string, ReadOnlySpan{byte})"/>.</param>
    /// <param name="content">Read to its end.</param>
    /// <exception cref="ArgumentException">The name cannot be stored, or is taken.</exception>
    /// <exception cref="ImageWriteException">The image could not be written.</exception>
    public void AddBlob(string name, Stream content)
    {
        CheckBlob();
        AddStream(name, content);
    }

    /// <summary>Adds the layer of a directory that this checkpoint sealed, as an opaque stream; named by the
    /// checkpoint, since folding puts the layers of several into one image.</summary>
    /// <param name="content">Read to its end.</param>
    /// <exception cref="ImageWriteException">The image could not be written.</exception>
    public void AddLayer(Stream content)
    {
        if (Header.Content != ImageContent.Directory)
        {
            throw new InvalidOperationException($"An image of {Header.Content} has no layers.");
        }

        AddStream(Header.CheckpointId.ToString("D"), content);
    }

    /// <summary>Adds a layer of a directory that another checkpoint sealed, which did not come into the store.</summary>
    /// <param name="sealedBy">That checkpoint.</param>
    /// <param name="content">Read to its end.</param>
    /// <exception cref="ImageWriteException">The image could not be written.</exception>
    public void AddLayer(Guid sealedBy, Stream content)
    {
        if (Header.Content != ImageContent.Directory)
        {
            throw new InvalidOperationException($"An image of {Header.Content} has no layers.");
        }

        AddStream(sealedBy.ToString("D"), content);
    }

    /// <summary>Adds the next bytes of a blob.</summary>
    internal void AddBlobPart(string name, ReadOnlySpan<byte> content, bool last)
    {
        OpenBlob(name);
        do
        {
            Batch batch = _pipeline.Current;
            int length = Math.Min(content.Length, batch.Capacity);
            content[..length].CopyTo(batch.Room(length));
            content = content[length..];
            SubmitBlob(batch, last && content.IsEmpty);
        }
        while (!content.IsEmpty);
    }

    private void AddStream(string name, Stream content)
    {
        ArgumentNullException.ThrowIfNull(content);
        OpenBlob(name);
        while (_blob is not null)
        {
            Batch batch = _pipeline.Current;
            int length = content.ReadAtLeast(batch.Room(batch.Capacity), batch.Capacity, throwOnEndOfStream: false);
            bool last = length < batch.Capacity;
            _ = batch.Room(length);
            SubmitBlob(batch, last);
        }
    }

    private void CheckBlob()
    {
        if (Header.Content is not (ImageContent.Registers or ImageContent.Channels))
        {
            throw new InvalidOperationException($"An image of {Header.Content} has no blobs.");
        }
    }

    private void OpenBlob(string name)
    {
        if (_blob is not null)
        {
            return;
        }

        CheckContent(Header.Content);
        byte[] encoded = Names.Encode(name);
        if (_blobs.Count == ImageFormat.MaxBlobs || !_blobs.Add(name))
        {
            throw new ArgumentException($"Blob {name} was added already, or is one too many.", nameof(name));
        }

        _blob = encoded;
        _blobPart = 0;
    }

    private void SubmitBlob(Batch batch, bool last)
    {
        _blobBytes += batch.DataLength;
        batch.SetBlob(_blob, _blobPart++, last);
        if (last)
        {
            _blob = null;
        }

        _pipeline.Submit();
    }
}
