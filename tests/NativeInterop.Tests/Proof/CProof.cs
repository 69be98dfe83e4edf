using System.Globalization;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.RegularExpressions;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Tests.Proof;

/// <summary>C programs whose compilation proves that bindings agree with the headers.</summary>
internal static partial class CProof
{
    /// <summary>The includes alone.</summary>
    internal static string Includes(BoundSurface surface) => Includes(surface.Headers);

    internal static string Includes(IEnumerable<string> headers)
    {
        var c = new StringBuilder("#define _GNU_SOURCE\n#include <stddef.h>\n#include <stdbool.h>\n");
        foreach (string header in headers)
        {
            c.Append(CultureInfo.InvariantCulture, $"#include <{header}>\n");
        }

        return c.ToString();
    }

    /// <summary>Assertions on sizes, offsets and values.</summary>
    internal static string Layouts(BoundSurface surface)
    {
        var c = new StringBuilder(Includes(surface));
        foreach (Type type in surface.Structs)
        {
            string name = type.GetCustomAttribute<CStructAttribute>()!.Type;
            Assert(c, $"sizeof({name}) == {BoundSurface.SizeOf(type)}", $"{type.Name}: size");
            foreach (FieldInfo field in BoundSurface.FieldsOf(type))
            {
                string member = field.GetCustomAttribute<CFieldAttribute>()?.Member ?? field.Name;
                string what = $"{type.Name}.{field.Name}";
                Assert(c, $"offsetof({name}, {member}) == {BoundSurface.OffsetOf(field)}", $"{what}: offset");
                Assert(
                    c, $"sizeof((({name} *)0)->{member}) == {BoundSurface.SizeOf(field.FieldType)}", $"{what}: size");
                AssertSign(c, $"__typeof__((({name} *)0)->{member})", field.FieldType, what);
            }
        }

        foreach ((FieldInfo field, string expression) in surface.Constants)
        {
            string value = Convert.ToInt64(field.GetRawConstantValue(), CultureInfo.InvariantCulture)
                .ToString(CultureInfo.InvariantCulture);
            Assert(c, $"(long long)({expression}) == {value}LL", $"{field.DeclaringType!.Name}.{field.Name}: value");
        }

        return c.ToString();
    }

    /// <summary>Assertions on the types that functions take and return.</summary>
    /// <param name="surface">The functions.</param>
    /// <param name="prototypes">What the C compiler printed of the headers' prototypes (<c>-aux-info</c>).</param>
    internal static string Functions(BoundSurface surface, string prototypes)
    {
        Dictionary<string, Match> declared = Declared(prototypes);
        var c = new StringBuilder(Includes(surface));
        foreach (MethodInfo method in surface.Functions)
        {
            if (!declared.TryGetValue(method.Name, out Match? prototype))
            {
                Assert(c, "0", $"{method.Name}: declared in no header");
                continue;
            }

            AssertFunction(c, method, method.Name, prototype);
        }

        return c.ToString();
    }

    /// <summary>The prototypes by name.</summary>
    internal static Dictionary<string, Match> Declared(string prototypes)
    {
        var declared = new Dictionary<string, Match>(StringComparer.Ordinal);
        foreach (Match match in Prototype().Matches(prototypes))
        {
            declared[match.Groups["name"].Value] = match;
        }

        return declared;
    }

    /// <summary>Asserts on what a function takes and returns. Of a variadic one a binding may pass more than what is fixed.
    /// </summary>
    internal static void AssertFunction(StringBuilder c, MethodInfo method, string name, Match prototype)
    {
        AssertType(c, prototype.Groups["return"].Value.Trim(), method.ReturnType, $"{name}: return value");
        string[] listed = prototype.Groups["parameters"].Value.Split(',', StringSplitOptions.TrimEntries);
        string[] declared = [.. listed.Where(p => p is not ("void" or "..."))];
        ParameterInfo[] parameters = method.GetParameters();
        if (declared.Length != parameters.Length && !(listed.Contains("...") && declared.Length < parameters.Length))
        {
            Assert(c, "0", $"{name}: C has {declared.Length} parameters, not {parameters.Length}");
            return;
        }

        foreach ((string type, ParameterInfo parameter) in declared.Zip(parameters))
        {
            AssertType(c, type, parameter.ParameterType, $"{name}: parameter {parameter.Name}");
        }
    }

    private static void AssertType(StringBuilder c, string type, Type managed, string what)
    {
        if (managed == typeof(void) || type == "void")
        {
            Assert(c, managed == typeof(void) && type == "void" ? "1" : "0", $"{what}: void");
            return;
        }

        bool pointer = managed.IsByRef || managed.IsPointer || managed == typeof(nint) || managed == typeof(string)
            || managed.IsSubclassOf(typeof(SafeHandle));
        Assert(c, $"sizeof({type}) == {(pointer ? nint.Size : BoundSurface.SizeOf(managed))}", $"{what}: size");
        Assert(c, $"(__builtin_classify_type(({type})0) == 5) == {(pointer ? 1 : 0)}", $"{what}: pointer or not");
        if (!pointer)
        {
            AssertSign(c, type, managed, what);
        }
        else if (managed.IsByRef && managed.GetElementType() is { } element && element != typeof(byte))
        {
            Assert(c, $"sizeof(*({type})0) == {BoundSurface.SizeOf(element)}", $"{what}: size of what it points to");
        }
    }

    // A nint stands for a pointer or a long, and a byte also for a bool or a char: these say nothing about signs.
    internal static void AssertSign(StringBuilder c, string type, Type managed, string what)
    {
        managed = UsedLibC.Scalar(managed);
        bool? signed = managed switch
        {
            _ when managed == typeof(short) || managed == typeof(int) || managed == typeof(long) => true,
            _ when managed == typeof(ushort) || managed == typeof(uint) || managed == typeof(ulong) => false,
            _ => null,
        };
        if (signed is { } isSigned)
        {
            Assert(c, $"(({type})-1 < ({type})1) == {(isSigned ? 1 : 0)}", $"{what}: sign");
        }
    }

    internal static void Assert(StringBuilder c, string condition, string what) =>
        c.Append(CultureInfo.InvariantCulture, $"_Static_assert({condition}, \"{what}\");\n");

    // /* header.h:551:NC */ extern int xc_domain_pause (xc_interface *, uint32_t);
    [GeneratedRegex(
        @"^/\* (?<file>[^:]+):\d+:\w+ \*/ extern (?<return>[^(]*?[ *])(?<name>\w+) \((?<parameters>[^()]*)\);",
        RegexOptions.Multiline | RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 300_000)]
    private static partial Regex Prototype();
}
