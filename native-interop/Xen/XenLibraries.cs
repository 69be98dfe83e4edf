using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Xen;

/// <summary>Finds and loads Xen's libraries.</summary>
/// <remarks>
/// libxenctrl and libxenguest speak an interface that belongs to one release of Xen, and bear the release in their
/// sonames. The release is the running hypervisor's where that is known before (sysfs, or a raw hypercall); where it
/// is not, the newest installed one, and <see cref="XenInterface.Open"/> compares.
/// </remarks>
public static class XenLibraries
{
    // The releases whose headers the layouts in Headers/ were proved against, newest first. Tried one by one only
    // where the hypervisor does not say which release it is.
    private static readonly XenRelease[] KnownReleases =
        [new(4, 22), new(4, 21), new(4, 20), new(4, 19), new(4, 18), new(4, 17)];

    private static readonly Lock Gate = new();
    private static readonly Dictionary<string, nint> Loaded = new(StringComparer.Ordinal);
    private static XenRelease? _controlRelease;

    /// <summary>The release of the loaded libxenctrl and libxenguest.</summary>
    /// <exception cref="XenUnavailableException">The libraries are not installed; the message names what was
    /// tried.</exception>
    public static XenRelease ControlRelease
    {
        get
        {
            Load(XenLibrary.Control);
            return _controlRelease!.Value;
        }
    }

    /// <summary>Loads a library once and returns its handle.</summary>
    /// <param name="name">A name of <see cref="XenLibrary"/>.</param>
    /// <exception cref="XenUnavailableException">It is not installed; the message names what was tried.</exception>
    internal static nint Load(string name)
    {
        lock (Gate)
        {
            if (!Loaded.TryGetValue(name, out nint library))
            {
                library = name is XenLibrary.Control or XenLibrary.Guest
                    ? LoadVersioned(name)
                    : LoadFirst(name, [name]);
                Loaded.Add(name, library);
            }

            return library;
        }
    }

    /// <summary>Where a release's library may be: the linker's path first, then the places where Debian and
    /// installations from source have put it outside of that path.</summary>
    internal static string[] Candidates(string name, XenRelease release)
    {
        string soname = name.Replace("4.NN", release.ToString(), StringComparison.Ordinal);
        return
        [
            soname,
            $"/usr/lib/xen-{release}/lib/x86_64-linux-gnu/{soname}",
            $"/usr/lib/xen-{release}/lib/{soname}",
            $"/usr/local/lib/{soname}",
            $"/usr/local/lib64/{soname}",
        ];
    }

    /// <summary>Throws for a release whose headers the bindings were not proved against: a struct that grew would
    /// be written past its end.</summary>
    internal static void RequireProved(XenRelease release)
    {
        if (!KnownReleases.Contains(release))
        {
            throw new XenUnavailableException(
                "load Xen's libraries", 0,
                $"The running hypervisor is Xen {release}; this version of the software knows Xen "
                + $"{KnownReleases[^1]} to {KnownReleases[0]}.");
        }
    }

    /// <summary>Loads the first of <paramref name="candidates"/> that the dynamic linker accepts.</summary>
    internal static nint LoadFirst(string name, IReadOnlyList<string> candidates)
    {
        var reasons = new List<string>();
        foreach (string candidate in candidates)
        {
            if (TryLoad(candidate, out nint library, out string reason))
            {
                return library;
            }

            reasons.Add(reason);
        }

        string tried = string.Join(", ", candidates);
        throw new XenUnavailableException(
            $"load {name}", 0,
            $"Could not load {name}. Tried: {tried}. Install the Xen libraries of the running hypervisor's release "
            + $"(Debian: libxenmisc and libxenstore4). The dynamic linker says: {string.Join(" | ", reasons.Distinct(StringComparer.Ordinal))}");
    }

    [SuppressMessage("Usage", "CA2255", Justification = "The resolver has to be there before the first import is "
        + "bound, whichever type that is in.")]
    [ModuleInitializer]
    internal static void Register() =>
        NativeLibrary.SetDllImportResolver(typeof(XenLibraries).Assembly, Resolve);

    private static nint Resolve(string name, Assembly assembly, DllImportSearchPath? searchPath) =>
        name.StartsWith("libxen", StringComparison.Ordinal) ? Load(name) : nint.Zero;

    private static nint LoadVersioned(string name)
    {
        // libxenguest has to be of libxenctrl's release, and libxenctrl is what decides.
        if (name == XenLibrary.Guest)
        {
            Load(XenLibrary.Control);
        }

        XenRelease? release = _controlRelease ?? RunningHypervisor.TryGetRelease();
        if (release is { } known)
        {
            RequireProved(known);
            nint library = LoadFirst(name, Candidates(name, known));
            _controlRelease = known;
            return library;
        }

        foreach (XenRelease guess in KnownReleases)
        {
            foreach (string candidate in Candidates(name, guess))
            {
                if (TryLoad(candidate, out nint library, out _))
                {
                    _controlRelease = guess;
                    return library;
                }
            }
        }

        return LoadFirst(name, [.. KnownReleases.SelectMany(r => Candidates(name, r))]);
    }

    private static bool TryLoad(string path, out nint library, out string reason)
    {
        try
        {
            library = NativeLibrary.Load(path);
            reason = "";
            return true;
        }
        catch (Exception e) when (e is DllNotFoundException or BadImageFormatException)
        {
            library = nint.Zero;
            reason = e.Message;
            return false;
        }
    }
}
