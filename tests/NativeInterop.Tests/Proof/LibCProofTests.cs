using System.Reflection;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.RegularExpressions;
using Tmds.Linux;
using XenTwoLevelCkpt.NativeInterop.Headers;
using Xunit;

namespace XenTwoLevelCkpt.NativeInterop.Tests.Proof;

/// <summary>What native-interop uses of Tmds.LibC agrees with the C headers. A use of a header that is not named here does
/// not compile.</summary>
public class LibCProofTests
{
    private static readonly string[] Headers =
    [
        "fcntl.h", "signal.h", "sys/eventfd.h", "sys/ioctl.h", "sys/mman.h", "sys/mount.h", "sys/socket.h", "sys/stat.h",
        "unistd.h", "linux/sockios.h",
    ];

    private static readonly UsedLibC Used = new(typeof(CHeaderAttribute).Assembly.Location);

    [Fact]
    public void Metadata_tells_what_is_used()
    {
        // Guards against a proof that proves nothing.
        Assert.Contains(typeof(statx), Used.Structs);
        Assert.Contains("O_DIRECTORY", Used.Constants.Keys);
        Assert.Contains("mmap", Used.Functions.Keys);
        Assert.Contains("ioctl", Used.Functions.Keys);
        Assert.DoesNotContain("chdir", Used.Functions.Keys);
    }

    [Fact]
    public void Structs_agree_with_the_headers() => Compiles(c => Structs(c, Used.Structs));

    [Fact]
    public void Constants_agree_with_the_headers() => Compiles(c => Constants(c, Used.Constants));

    [Fact]
    public void Functions_agree_with_the_headers() => Compiles(c => Functions(c, Used.Functions));

    [Fact]
    public void Every_function_keeps_errno() => Assert.All(
        Used.Functions, f => Assert.True(f.Value.Length > 0 && f.Value.All(KeepsErrno), $"{f.Key} loses errno"));

    [Fact]
    public void Every_function_is_exported_by_libc()
    {
        nint library = NativeLibrary.Load("libc.so.6");
        Assert.All(Used.Functions.Keys, name => Assert.True(NativeLibrary.TryGetExport(library, name, out _), name));
    }

    [Fact]
    public void What_does_not_agree_is_named()
    {
        Assert.Contains("O_DIRECTORY: value", Check(c => Constants(c, [new("O_DIRECTORY", 0x4000)])), StringComparison.Ordinal);
        Assert.Contains("O_NOTHING", Check(c => Constants(c, [new("O_NOTHING", 1)])), StringComparison.Ordinal);
        Assert.Contains("cmsghdr", Check(c => Structs(c, [typeof(cmsghdr)])), StringComparison.Ordinal);
        MethodInfo[] wrong = [typeof(LibC).GetMethod(nameof(LibC.dup))!];
        Assert.Contains(
            "link: C has 2 parameters, not 1", Check(c => Functions(c, [new("link", wrong)])), StringComparison.Ordinal);

        // Why poll(2) is bound here.
        Assert.False(KeepsErrno(typeof(LibC).GetMethod(nameof(LibC.poll))!));
    }

    private static bool KeepsErrno(MethodInfo method) => method.GetCustomAttribute<DllImportAttribute>()!.SetLastError;

    private static void Structs(StringBuilder c, IEnumerable<Type> types)
    {
        foreach (Type type in types.Where(t => t != typeof(syscall_arg)))
        {
            string name = type.Name switch
            {
                "long_t" => "long",
                "ulong_t" => "unsigned long",
                _ when UsedLibC.IsScalar(type) => type.Name,
                _ => $"struct {type.Name}",
            };
            CProof.Assert(c, $"sizeof({name}) == {BoundSurface.SizeOf(type)}", $"{type.Name}: size");
            if (UsedLibC.IsScalar(type))
            {
                CProof.AssertSign(c, name, type, type.Name);
                continue;
            }

            // What is not public is padding.
            foreach (FieldInfo field in BoundSurface.FieldsOf(type).Where(f => f.IsPublic))
            {
                string what = $"{type.Name}.{field.Name}";
                CProof.Assert(c, $"offsetof({name}, {field.Name}) == {BoundSurface.OffsetOf(field)}", $"{what}: offset");
                string member = $"(({name} *)0)->{field.Name}";
                CProof.Assert(c, $"sizeof({member}) == {BoundSurface.SizeOf(field.FieldType)}", $"{what}: size");
                CProof.AssertSign(c, $"__typeof__({member})", field.FieldType, what);
            }
        }
    }

    private static void Constants(StringBuilder c, IEnumerable<KeyValuePair<string, long>> constants)
    {
        foreach ((string name, long value) in constants)
        {
            CProof.Assert(c, $"(long long)({name}) == {value}LL", $"{name}: value");
        }
    }

    private static void Functions(StringBuilder c, IEnumerable<KeyValuePair<string, MethodInfo[]>> functions)
    {
        Dictionary<string, Match> declared = CProof.Declared(CCompiler.Prototypes(CProof.Includes(Headers)));
        foreach ((string name, MethodInfo[] methods) in functions)
        {
            CProof.Assert(c, declared.ContainsKey(name) ? "1" : "0", $"{name}: declared in no header");
            foreach (MethodInfo method in declared.ContainsKey(name) ? methods : [])
            {
                CProof.AssertFunction(c, method, name, declared[name]);
            }
        }
    }

    private static void Compiles(Action<StringBuilder> assertions)
    {
        string errors = Check(assertions);
        Assert.True(errors.Length == 0, errors);
    }

    private static string Check(Action<StringBuilder> assertions)
    {
        var c = new StringBuilder(CProof.Includes(Headers));
        assertions(c);
        return CCompiler.Check(c.ToString());
    }
}

#pragma warning disable CS0649, CS8981, IDE1006 // A struct of the wrong size, named as in C.
[StructLayout(LayoutKind.Sequential)]
internal struct cmsghdr
{
    internal int cmsg_len;
}
#pragma warning restore CS0649, CS8981, IDE1006
