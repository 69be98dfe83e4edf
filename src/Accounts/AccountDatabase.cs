using System.Globalization;
using Mono.Unix;
using XenTwoLevelCkpt.NativeInterop.Files;

namespace XenTwoLevelCkpt.Accounts;

/// <summary>Users and groups of the system (passwd(5), group(5), and whatever else nsswitch.conf(5) names).</summary>
/// <remarks>Thread-safe. A look-up may ask a directory service, and take as long as that does.</remarks>
public static class AccountDatabase
{
    // chown(2): an id that leaves what is there.
    private const uint Unchanged = uint.MaxValue;

    /// <summary>The id of a user, by name or, where no user has the name, in decimal digits; null where there is neither.
    /// </summary>
    /// <param name="user">Such as <c>root</c>, or <c>0</c>.</param>
    public static uint? FindUser(string user)
    {
        ArgumentException.ThrowIfNullOrEmpty(user);
        return Find(() => new UnixUserInfo(user).UserId) ?? Digits(user);
    }

    /// <summary>The id of a group, by name or, where no group has the name, in decimal digits; null where there is neither.
    /// </summary>
    /// <param name="group">Such as <c>adm</c>, or <c>4</c>.</param>
    public static uint? FindGroup(string group)
    {
        ArgumentException.ThrowIfNullOrEmpty(group);
        return Find(() => new UnixGroupInfo(group).GroupId) ?? Digits(group);
    }

    /// <summary>The name of a user, for messages; the id in digits where it has none.</summary>
    /// <param name="id">The user's id.</param>
    public static string UserName(uint id) => Name(() => new UnixUserInfo(id).UserName, id);

    /// <summary>The name of a group, for messages; the id in digits where it has none.</summary>
    /// <param name="id">The group's id.</param>
    public static string GroupName(uint id) => Name(() => new UnixGroupInfo(id).GroupName, id);

    /// <summary>Gives a file, such as a socket, to a user, a group, or both. A symbolic link is not followed.</summary>
    /// <param name="path">The file.</param>
    /// <param name="user">As <see cref="FindUser"/> takes it; null leaves who has it.</param>
    /// <param name="group">As <see cref="FindGroup"/> takes it; null leaves which has it.</param>
    /// <exception cref="ArgumentException">There is no such user or group; nothing has changed.</exception>
    /// <exception cref="IOException">It cannot be given: there is no such file, or this is not root (CAP_CHOWN).</exception>
    public static void SetOwner(string path, string? user, string? group)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        uint owner = user is null ? Unchanged
            : FindUser(user) ?? throw new ArgumentException($"There is no user {user}.", nameof(user));
        uint owningGroup = group is null ? Unchanged
            : FindGroup(group) ?? throw new ArgumentException($"There is no group {group}.", nameof(group));
        RawFiles.SetOwner(RawPath.From(path), owner, owningGroup);
    }

    private static uint? Find(Func<long> id)
    {
        try
        {
            return (uint)id();
        }
        catch (ArgumentException)
        {
            return null;
        }
    }

    // The largest number is no id: it means 'unchanged'.
    private static uint? Digits(string text) =>
        uint.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out uint id) && id != Unchanged ? id : null;

    private static string Name(Func<string> name, uint id)
    {
        try
        {
            return name();
        }
        catch (ArgumentException)
        {
            return id.ToString(CultureInfo.InvariantCulture);
        }
    }
}
