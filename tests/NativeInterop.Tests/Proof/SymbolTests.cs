using System.Reflection;
using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;
using XenTwoLevelCkpt.NativeInterop.Xen;
using Xunit;

namespace XenTwoLevelCkpt.NativeInterop.Tests.Proof;

public class SymbolTests
{
    [Fact]
    public void Every_imported_function_is_exported_by_its_library()
    {
        int found = 0;
        var missing = new List<string>();
        foreach (MethodInfo method in typeof(CHeaderAttribute).Assembly.GetTypes()
            .SelectMany(t => t.GetMethods(BindingFlags.Static | BindingFlags.NonPublic | BindingFlags.DeclaredOnly)))
        {
            if (method.GetCustomAttribute<LibraryImportAttribute>()?.LibraryName is not { } library)
            {
                continue;
            }

            nint handle = library.StartsWith("libxen", StringComparison.Ordinal)
                ? XenLibraries.Load(library)
                : NativeLibrary.Load(library);
            if (NativeLibrary.TryGetExport(handle, method.Name, out _))
            {
                found++;
            }
            else
            {
                missing.Add($"{library}: {method.Name}");
            }
        }

        Assert.Empty(missing);
        Assert.InRange(found, 50, int.MaxValue);
    }
}
