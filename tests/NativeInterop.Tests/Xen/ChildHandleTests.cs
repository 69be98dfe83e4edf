using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Xen;
using Xunit;

namespace XenTwoLevelCkpt.NativeInterop.Tests.Xen;

public class ChildHandleTests
{
    [Fact]
    public void A_parent_that_is_disposed_first_is_released_last()
    {
        var log = new List<string>();
        var parent = new Parent(log);
        var child = new Child(parent, log);
        parent.Dispose();
        Assert.Empty(log);
        child.Dispose();
        Assert.Equal(["child of 5", "parent"], log);
    }

    [Fact]
    public void A_child_that_is_disposed_first_leaves_the_parent_open()
    {
        var log = new List<string>();
        var parent = new Parent(log);
        new Child(parent, log).Dispose();
        Assert.Equal(["child of 5"], log);
        parent.Dispose();
        Assert.Equal(["child of 5", "parent"], log);
    }

    [Fact]
    public void A_child_that_could_not_be_made_does_not_hold_its_parent()
    {
        var log = new List<string>();
        var parent = new Parent(log);
        Assert.Throws<InvalidOperationException>(() => new Child(parent, log, fail: true));
        parent.Dispose();
        Assert.Equal(["parent"], log);
    }

    [Fact]
    public void A_parent_that_is_closed_is_refused()
    {
        var parent = new Parent([]);
        parent.Dispose();
        Assert.Throws<ObjectDisposedException>(() => new Child(parent, []));
    }

    private sealed class Parent : SafeHandle
    {
        private readonly List<string> _log;

        internal Parent(List<string> log)
            : base(nint.Zero, ownsHandle: true)
        {
            _log = log;
            SetHandle(5);
        }

        public override bool IsInvalid => handle == nint.Zero;

        protected override bool ReleaseHandle()
        {
            _log.Add("parent");
            return true;
        }
    }

    private sealed class Child : ChildHandle
    {
        private readonly List<string> _log;

        internal Child(SafeHandle parent, List<string> log, bool fail = false)
            : base(parent)
        {
            _log = log;
            if (fail)
            {
                Abandon();
                throw new InvalidOperationException();
            }

            SetHandle(6);
        }

        private protected override bool Release(nint parent)
        {
            _log.Add($"child of {parent}");
            return true;
        }
    }
}
