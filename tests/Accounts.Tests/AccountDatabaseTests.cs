using System.Globalization;
using XenTwoLevelCkpt.NativeInterop.Files;
using Xunit;

namespace XenTwoLevelCkpt.Accounts.Tests;

public sealed class AccountDatabaseTests : IDisposable
{
    // Ids that no distribution gives out.
    private const string NoName = "xtl-nobody-has-this-name";
    private const uint NoId = 4_000_000_123;

    private readonly string _file = Path.GetTempFileName();

    public void Dispose() => File.Delete(_file);

    // The files are the databases of a system without a directory service.
    [Fact]
    public void Users_are_found_by_name_and_by_id() => Assert.All(Entries("/etc/passwd"), entry =>
    {
        Assert.Equal(entry.Id, AccountDatabase.FindUser(entry.Name));
        Assert.Equal(First("/etc/passwd", entry.Id), AccountDatabase.UserName(entry.Id));
    });

    [Fact]
    public void Groups_are_found_by_name_and_by_id() => Assert.All(Entries("/etc/group"), entry =>
    {
        Assert.Equal(entry.Id, AccountDatabase.FindGroup(entry.Name));
        Assert.Equal(First("/etc/group", entry.Id), AccountDatabase.GroupName(entry.Id));
    });

    [Fact]
    public void Digits_are_an_id_where_nobody_has_them_as_a_name()
    {
        Assert.Equal(NoId, AccountDatabase.FindUser(NoId.ToString(CultureInfo.InvariantCulture)));
        Assert.Equal(NoId, AccountDatabase.FindGroup(NoId.ToString(CultureInfo.InvariantCulture)));
        Assert.Equal("4000000123", AccountDatabase.UserName(NoId));
        Assert.Equal("4000000123", AccountDatabase.GroupName(NoId));
    }

    [Theory]
    [InlineData(NoName)]
    [InlineData("-1")]
    [InlineData("+0")]
    [InlineData(" 0")]
    [InlineData("4294967295")]
    [InlineData("4294967296")]
    public void What_is_no_account_is_not_found(string name)
    {
        Assert.Null(AccountDatabase.FindUser(name));
        Assert.Null(AccountDatabase.FindGroup(name));
    }

    [Fact]
    public void A_file_is_given_to_whom_is_named()
    {
        Assert.SkipUnless(Environment.IsPrivilegedProcess, "Only root gives files away.");
        (string user, uint userId) = Entries("/etc/passwd").First(e => e.Id != 0);
        (string group, uint groupId) = Entries("/etc/group").First(e => e.Id != 0 && AccountDatabase.FindUser(e.Name) is null);
        AccountDatabase.SetOwner(_file, null, group);
        Assert.Equal((0u, groupId), Owner());
        AccountDatabase.SetOwner(_file, user, null);
        Assert.Equal((userId, groupId), Owner());
        Assert.Throws<ArgumentException>(() => AccountDatabase.SetOwner(_file, "0", NoName));
        Assert.Throws<ArgumentException>(() => AccountDatabase.SetOwner(_file, NoName, "0"));
        Assert.Equal((userId, groupId), Owner());
        AccountDatabase.SetOwner(_file, "0", "0");
        Assert.Equal((0u, 0u), Owner());
    }

    [Fact]
    public void A_file_that_is_not_there_is_an_error() =>
        Assert.Throws<IOException>(() => AccountDatabase.SetOwner(_file + ".none", "0", null));

    private (uint Owner, uint Group) Owner()
    {
        RawStat stat = RawFiles.Stat(RawPath.From(_file));
        return (stat.Owner, stat.Group);
    }

    private static (string Name, uint Id)[] Entries(string file) =>
    [
        .. File.ReadAllLines(file).Select(l => l.Split(':')).Where(f => f.Length > 2)
            .Select(f => (f[0], uint.Parse(f[2], CultureInfo.InvariantCulture))),
    ];

    // Two names may share an id.
    private static string First(string file, uint id) => Entries(file).First(e => e.Id == id).Name;
}
