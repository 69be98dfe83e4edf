using Xunit;

namespace XenTwoLevelCkpt.Images.SecondReader.Tests;

internal static class Refuse
{
    // The reader refuses the image, and says why with words of the rule.
    public static void Image(string rule, byte[] image)
    {
        FormatViolationException e = Assert.Throws<FormatViolationException>(() => ImageFile.Read(image));
        Assert.Contains(rule, e.Message, StringComparison.Ordinal);
    }

    public static void Image(string rule, ImageBuilder image) => Image(rule, image.Build());

    public static void That(string rule, Action action)
    {
        FormatViolationException e = Assert.Throws<FormatViolationException>(action);
        Assert.Contains(rule, e.Message, StringComparison.Ordinal);
    }
}
