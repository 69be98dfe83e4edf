using System.Globalization;
using System.Reflection;
using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;
using System.Runtime.InteropServices;
using Tmds.Linux;

namespace XenTwoLevelCkpt.NativeInterop.Tests.Proof;

/// <summary>What an assembly uses of Tmds.LibC, by the references in its metadata: nothing has to be listed.</summary>
internal sealed class UsedLibC
{
    private const BindingFlags All =
        BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Static | BindingFlags.Instance;

    private static readonly Assembly LibCAssembly = typeof(LibC).Assembly;

    internal UsedLibC(string file)
    {
        using var image = new PEReader(File.OpenRead(file));
        MetadataReader metadata = image.GetMetadataReader();
        foreach (TypeReference type in metadata.TypeReferences.Select(metadata.GetTypeReference).Where(t => IsLibC(metadata, t)))
        {
            Type found = LibCAssembly.GetType($"Tmds.Linux.{metadata.GetString(type.Name)}", throwOnError: true)!;
            if (found.IsValueType)
            {
                Structs.Add(found);
            }
        }

        foreach (MemberReference member in metadata.MemberReferences.Select(metadata.GetMemberReference))
        {
            if (member.Parent.Kind == HandleKind.TypeReference
                && metadata.GetTypeReference((TypeReferenceHandle)member.Parent) is var parent && IsLibC(metadata, parent)
                && metadata.GetString(parent.Name) == nameof(LibC))
            {
                Add(metadata.GetString(member.Name));
            }
        }
    }

    internal HashSet<Type> Structs { get; } = [];

    /// <summary>Names, and the values that the package gives them on this architecture.</summary>
    internal SortedDictionary<string, long> Constants { get; } = new(StringComparer.Ordinal);

    /// <summary>Names in C, and what calls them: all of the package's overloads.</summary>
    internal SortedDictionary<string, MethodInfo[]> Functions { get; } = new(StringComparer.Ordinal);

    /// <summary>What a struct of one value stands for, such as <c>mode_t</c>; other types as they are.</summary>
    internal static Type Scalar(Type type)
    {
        // What a register holds: a number of any kind, or a pointer.
        if (type == typeof(syscall_arg))
        {
            return typeof(nuint);
        }

        return IsScalar(type) ? Scalar(type.GetField("__value", All)!.FieldType) : type;
    }

    internal static bool IsScalar(Type type) => type.Assembly == LibCAssembly && type.GetField("__value", All) is not null;

    private static bool IsLibC(MetadataReader metadata, TypeReference type) =>
        type.ResolutionScope.Kind == HandleKind.AssemblyReference
        && metadata.GetString(metadata.GetAssemblyReference((AssemblyReferenceHandle)type.ResolutionScope).Name)
            == LibCAssembly.GetName().Name;

    private void Add(string name)
    {
        if (name.StartsWith("get_", StringComparison.Ordinal))
        {
            Constants[name[4..]] = Value(typeof(LibC).GetProperty(name[4..], All)!.GetValue(null)!);
            return;
        }

        // A method that is no import calls one, whose name in C is its own.
        Functions[name] = [.. typeof(LibC).GetMethods(All).Where(
            m => m.GetCustomAttribute<DllImportAttribute>() is { } import && (import.EntryPoint ?? m.Name) == name)];
    }

    private static unsafe long Value(object value) => value switch
    {
        Pointer pointer => (nint)Pointer.Unbox(pointer),
        IConvertible number => number.ToInt64(CultureInfo.InvariantCulture),
        _ => Value(value.GetType().GetField("__value", All)!.GetValue(value)!),
    };
}
