using FsCheck;
using FsCheck.Fluent;
using Tmds.Linux;
using XenTwoLevelCkpt.NativeInterop.Libc;
using XenTwoLevelCkpt.NativeInterop.Memory;
using XenTwoLevelCkpt.NativeInterop.Xen;
using Xunit;

namespace XenTwoLevelCkpt.NativeInterop.Tests.Xen;

public class ForeignCopyTests
{
    [Fact]
    public void Mapped_pages_are_copied_and_failed_ones_never_touched() => Prop.ForAll(
        Arb.From(Gen.Choose(1, 40).SelectMany(n => Gen.ArrayOf(Gen.Elements(0, 0, 0, Errno.EINVAL, Errno.ENOENT), n))),
        errors =>
        {
            using var memory = new AnonymousMapping(errors.Length * (long)ForeignMemory.PageSize);
            for (int i = 0; i < errors.Length; i++)
            {
                memory.Span(i * (long)ForeignMemory.PageSize, ForeignMemory.PageSize).Fill((byte)(i + 1));
                if (errors[i] != 0)
                {
                    // What privcmd leaves behind for such a page faults when it is touched; so does this.
                    MakeInaccessible(memory.DangerousGetHandle() + (i * ForeignMemory.PageSize));
                }
            }

            byte[] copy = new byte[errors.Length * ForeignMemory.PageSize];
            copy.AsSpan().Fill(0xee);
            int copied = ForeignMemory.CopyMapped(memory.DangerousGetHandle(), errors.Length, errors, copy);
            Assert.Equal(errors.Count(e => e == 0), copied);
            for (int i = 0; i < errors.Length; i++)
            {
                byte expected = errors[i] == 0 ? (byte)(i + 1) : (byte)0;
                Assert.False(copy.AsSpan(i * ForeignMemory.PageSize, ForeignMemory.PageSize).ContainsAnyExcept(expected));
            }
        }).Check(Properties.Quiet);

    // unsafe: libc takes pointers. Safe: the page is one of a mapping of this test.
    private static unsafe void MakeInaccessible(nint page) => Assert.Equal(page, (nint)LibC.mmap(
        (void*)page, ForeignMemory.PageSize, 0, LibC.MAP_PRIVATE | LibC.MAP_ANONYMOUS | LibC.MAP_FIXED, -1, 0));
}
