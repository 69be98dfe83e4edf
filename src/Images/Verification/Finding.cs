namespace XenTwoLevelCkpt.Images.Verification;

/// <summary>Something that is wrong with a file of a store.</summary>
/// <param name="File">The file's path.</param>
/// <param name="Offset">Where in the file, in bytes; 0 where the file as a whole is meant.</param>
/// <param name="Problem">What is wrong, as a sentence without its full stop.</param>
public sealed record Finding(string File, long Offset, string Problem);
