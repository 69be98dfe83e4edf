namespace XenTwoLevelCkpt.NativeInterop.Headers;

/// <summary>Names the C header that a type's members come from. The layout proof includes it.</summary>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Struct | AttributeTargets.Enum)]
internal sealed class CHeaderAttribute(string header) : Attribute
{
    public string Header { get; } = header;
}

/// <summary>Names the C type that a struct mirrors; the layout proof compares size, offsets and field sizes.</summary>
[AttributeUsage(AttributeTargets.Struct)]
internal sealed class CStructAttribute(string type) : Attribute
{
    public string Type { get; } = type;
}

/// <summary>Names the C member that a field mirrors, where the names differ.</summary>
[AttributeUsage(AttributeTargets.Field)]
internal sealed class CFieldAttribute(string member) : Attribute
{
    public string Member { get; } = member;
}

/// <summary>Marks a constant as the value of a C expression; without one, of the C name it bears itself.</summary>
[AttributeUsage(AttributeTargets.Field)]
internal sealed class CConstantAttribute(string? expression = null) : Attribute
{
    public string? Expression { get; } = expression;
}

/// <summary>Exempts a type, constant or function from the layout proof, and says why no header can prove it.</summary>
[AttributeUsage(AttributeTargets.All)]
internal sealed class NotInCAttribute(string reason) : Attribute
{
    public string Reason { get; } = reason;
}
