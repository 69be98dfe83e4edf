namespace XenTwoLevelCkpt.Images.Verification;

/// <summary>Something that is wrong with a file of a store.</summary>
/// <param name="File">The file's path.</param>
/// <param name="Offset">Where in the file, in bytes; 0 where the file as a whole is meant.</param>
/// <param name="Problem">What is wrong, as a sentence without its full stop.</param>
public sealed record Finding(string File, long Offset, string Problem);

/// <summary>How far the check of a store is.</summary>
/// <param name="Images">Images that are checked.</param>
/// <param name="TotalImages">Images to be checked in all.</param>
/// <param name="Findings">What was found since the step before.</param>
public sealed record VerificationStep(int Images, int TotalImages, IReadOnlyList<Finding> Findings);
