using System.Reflection;
using System.Reflection.Emit;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Tests.Proof;

/// <summary>What an assembly binds from C: structs, constants and functions, found by reflection.</summary>
internal sealed class BoundSurface
{
    private const BindingFlags All = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Static
        | BindingFlags.Instance | BindingFlags.DeclaredOnly;

    internal BoundSurface(IEnumerable<Type> types)
    {
        foreach (Type type in types)
        {
            // A name with an angle bracket is the compiler's.
            if (type.FullName!.Contains('<', StringComparison.Ordinal))
            {
                continue;
            }

            AddStruct(type);
            AddConstants(type);
            AddFunctions(type);
        }
    }

    internal List<Type> Structs { get; } = [];

    internal List<(FieldInfo Field, string Expression)> Constants { get; } = [];

    internal List<MethodInfo> Functions { get; } = [];

    /// <summary>What is bound and carries neither the name of its C counterpart nor a reason for having none.</summary>
    internal List<string> Unlisted { get; } = [];

    internal SortedSet<string> Headers { get; } = new(StringComparer.Ordinal);

    internal static BoundSurface OfNativeInterop() => new(typeof(CHeaderAttribute).Assembly.GetTypes());

    internal static IEnumerable<FieldInfo> FieldsOf(Type type) => type.GetFields(All).Where(f => !f.IsStatic);

    internal static int SizeOf(Type type) => (int)typeof(Unsafe).GetMethod(nameof(Unsafe.SizeOf))!
        .MakeGenericMethod(type).Invoke(null, null)!;

    /// <summary>Where the runtime puts a field, in bytes.</summary>
    internal static long OffsetOf(FieldInfo field)
    {
        var method = new DynamicMethod("offset", typeof(long), [], typeof(BoundSurface).Module, skipVisibility: true);
        ILGenerator il = method.GetILGenerator();
        il.DeclareLocal(field.DeclaringType!);
        il.Emit(OpCodes.Ldloca_S, 0);
        il.Emit(OpCodes.Ldflda, field);
        il.Emit(OpCodes.Conv_U);
        il.Emit(OpCodes.Ldloca_S, 0);
        il.Emit(OpCodes.Conv_U);
        il.Emit(OpCodes.Sub);
        il.Emit(OpCodes.Conv_I8);
        il.Emit(OpCodes.Ret);
        return (long)method.Invoke(null, null)!;
    }

    private void AddStruct(Type type)
    {
        // A struct of automatic layout, a ref struct and an inline array (part of another struct) are never passed to
        // C by themselves.
        if (!type.IsValueType || type.IsEnum || type.IsByRefLike || type.IsAutoLayout
            || type.IsDefined(typeof(InlineArrayAttribute)) || type.IsDefined(typeof(NotInCAttribute)))
        {
            return;
        }

        if (type.GetCustomAttribute<CStructAttribute>() is null || !AddHeader(type))
        {
            Unlisted.Add($"struct {type.FullName}");
            return;
        }

        Structs.Add(type);
    }

    private void AddConstants(Type type)
    {
        foreach (FieldInfo field in type.GetFields(All).Where(f => f.IsLiteral))
        {
            if (field.IsDefined(typeof(NotInCAttribute)) || type.IsDefined(typeof(NotInCAttribute))
                || field.GetRawConstantValue() is string or bool)
            {
                continue;
            }

            if (field.GetCustomAttribute<CConstantAttribute>() is not { } constant || !AddHeader(type))
            {
                Unlisted.Add($"constant {type.FullName}.{field.Name}");
                continue;
            }

            Constants.Add((field, constant.Expression ?? field.Name));
        }
    }

    private void AddFunctions(Type type)
    {
        foreach (MethodInfo method in type.GetMethods(All).Where(m => m.IsDefined(typeof(LibraryImportAttribute))
            || (m.IsDefined(typeof(DllImportAttribute)) && !m.Name.Contains("__PInvoke", StringComparison.Ordinal))))
        {
            if (method.IsDefined(typeof(NotInCAttribute)))
            {
                continue;
            }

            if (!AddHeader(type))
            {
                Unlisted.Add($"function {type.FullName}.{method.Name}");
                continue;
            }

            Functions.Add(method);
        }
    }

    private bool AddHeader(Type type)
    {
        string? header = type.GetCustomAttribute<CHeaderAttribute>()?.Header;
        if (header is not null)
        {
            Headers.Add(header);
        }

        return header is not null;
    }
}
