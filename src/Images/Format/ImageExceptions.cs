namespace XenTwoLevelCkpt.Images.Format;

/// <summary>An image or a manifest cannot be used.</summary>
public class ImageException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="file">The file's name or path.</param>
    /// <param name="offset">Where in the file, in bytes.</param>
    /// <param name="problem">What is wrong, as a sentence without its full stop.</param>
    /// <param name="inner">The cause, if there is one.</param>
    public ImageException(string file, long offset, string problem, Exception? inner = null)
        : base($"{file}, offset {offset}: {problem}.", inner)
    {
        File = file;
        Offset = offset;
        Problem = problem;
    }

    /// <summary>The file's name or path.</summary>
    public string File { get; }

    /// <summary>Where in the file, in bytes.</summary>
    public long Offset { get; }

    /// <summary>What is wrong, as a sentence without its full stop.</summary>
    public string Problem { get; }
}

/// <summary>A file does not hold what was written: it was damaged, cut, or never was what it should be.</summary>
public sealed class ImageCorruptException : ImageException
{
    /// <inheritdoc cref="ImageException(string, long, string, Exception?)"/>
    public ImageCorruptException(string file, long offset, string problem, Exception? inner = null)
        : base(file, offset, problem, inner)
    {
    }
}

/// <summary>A file is whole, and uses something that this version of the software does not know.</summary>
public sealed class ImageUnsupportedException : ImageException
{
    /// <inheritdoc cref="ImageException(string, long, string, Exception?)"/>
    public ImageUnsupportedException(string file, long offset, string problem, Exception? inner = null)
        : base(file, offset, problem, inner)
    {
    }
}

/// <summary>An image could not be written; it must not be used. Images written before are as they were.</summary>
public sealed class ImageWriteException : IOException
{
    /// <summary>Creates the exception.</summary>
    /// <param name="file">The image's name or path.</param>
    /// <param name="offset">How many bytes of it had been written.</param>
    /// <param name="inner">The cause, such as a full device.</param>
    public ImageWriteException(string file, long offset, Exception inner)
        : base($"Image {file} could not be written at offset {offset}: {inner.Message}", inner)
    {
        File = file;
        Offset = offset;
        HResult = inner.HResult;
    }

    /// <summary>The image's name or path.</summary>
    public string File { get; }

    /// <summary>How many bytes had been written.</summary>
    public long Offset { get; }
}
