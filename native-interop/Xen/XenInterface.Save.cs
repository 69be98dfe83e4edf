using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Xen;

public sealed partial class XenInterface
{
    /// <summary>Writes a domain as a libxc migration stream: the way to a PV guest's memory, whose page tables
    /// libxenguest rewrites.</summary>
    /// <param name="domid">The domain's id.</param>
    /// <param name="output">A file or pipe to write to; stays open.</param>
    /// <param name="live">Copies while the guest runs, and what it wrote meanwhile after <paramref name="suspend"/>.
    /// Takes the dirty log over and leaves it switched off.</param>
    /// <param name="suspend">Suspends the domain; called once, on the calling thread. An exception ends the saving and
    /// is thrown on.</param>
    /// <remarks>Blocks until the stream is written. The domain is left suspended. A guest with a device model (QEMU)
    /// must not be saved live: nobody tells the device model to log what it writes.</remarks>
    public void SaveDomain(uint domid, SafeFileHandle output, bool live, Action suspend)
    {
        ArgumentNullException.ThrowIfNull(output);
        ArgumentNullException.ThrowIfNull(suspend);
        XenLibraries.Load(XenLibrary.Guest);
        var context = new SaveContext(suspend);
        var self = GCHandle.Alloc(context);
        bool added = false;
        try
        {
            output.DangerousAddRef(ref added);
            SaveCallbacks callbacks = SaveContext.Callbacks(GCHandle.ToIntPtr(self));
            int result = Xenguest.xc_domain_save(
                this, (int)output.DangerousGetHandle(), domid, live ? Xenguest.XCFLAGS_LIVE : 0, ref callbacks,
                Xenguest.XC_STREAM_PLAIN, -1);
            int errno = Marshal.GetLastPInvokeError();
            context.Failure?.Throw();
            if (result != 0)
            {
                throw XenErrors.Create(XenErrorSource.Hypercall, $"save domain {domid}", errno);
            }
        }
        finally
        {
            if (added)
            {
                output.DangerousRelease();
            }

            self.Free();
        }
    }

    /// <summary>What the callbacks of one save share.</summary>
    private sealed class SaveContext(Action suspend)
    {
        internal ExceptionDispatchInfo? Failure { get; private set; }

        internal static SaveCallbacks Callbacks(nint data)
        {
            // unsafe: the address of a function has no safe form. Safe: both functions are static, have the signatures
            // of struct save_callbacks, and let no exception out.
            unsafe
            {
                return new SaveCallbacks
                {
                    suspend = (nint)(delegate* unmanaged[Cdecl]<nint, int>)&OnSuspend,
                    switch_qemu_logdirty = (nint)(delegate* unmanaged[Cdecl]<uint, uint, nint, int>)&OnSwitchLogDirty,
                    data = data,
                };
            }
        }

        // Nonzero means success here.
        [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
        private static int OnSuspend(nint data)
        {
            var context = (SaveContext)GCHandle.FromIntPtr(data).Target!;
            try
            {
                context.Suspend();
                return 1;
            }
#pragma warning disable CA1031 // No exception may unwind through C; it is thrown on when the save has returned.
            catch (Exception e)
#pragma warning restore CA1031
            {
                context.Failure = ExceptionDispatchInfo.Capture(e);
                return 0;
            }
        }

        // Called for PVH guests, too, which have no device model that would have to log its writes.
        [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
        private static int OnSwitchLogDirty(uint domid, uint enable, nint data) => 0;

        private void Suspend() => suspend();
    }
}
