namespace XenTwoLevelCkpt.NativeInterop.Headers;

/// <summary>Names of native libraries as the imports give them.</summary>
internal static class XenLibrary
{
    /// <summary>libxenctrl. Its ABI, and so its soname, changes with each release of Xen:
    /// <see cref="Xen.XenLibraries"/> puts the release in the place of <c>NN</c>.</summary>
    internal const string Control = "libxenctrl.so.4.NN";

    /// <summary>libxenguest; versioned as libxenctrl, and always of the same release.</summary>
    internal const string Guest = "libxenguest.so.4.NN";

    /// <summary>libxencall; stable ABI.</summary>
    internal const string Call = "libxencall.so.1";

    /// <summary>libxenforeignmemory; stable ABI.</summary>
    internal const string ForeignMemory = "libxenforeignmemory.so.1";

    /// <summary>libxendevicemodel; stable ABI.</summary>
    internal const string DeviceModel = "libxendevicemodel.so.1";

    /// <summary>libxenevtchn; stable ABI.</summary>
    internal const string EventChannel = "libxenevtchn.so.1";

    /// <summary>libxentoollog; stable ABI.</summary>
    internal const string ToolLog = "libxentoollog.so.1";
}
