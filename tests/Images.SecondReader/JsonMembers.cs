using System.Globalization;
using System.Text;
using System.Text.Json;

namespace XenTwoLevelCkpt.Images.SecondReader;

// The members of a JSON object of a manifest, by the types of section 7.
internal sealed class JsonMembers
{
    private const string Section = "7";
    private const string TimeFormat = "yyyy-MM-dd'T'HH:mm:ss.ffffff'Z'";

    private readonly JsonElement _object;
    private readonly string _what;

    public JsonMembers(JsonElement element, string what)
    {
        Rule.Require(element.ValueKind == JsonValueKind.Object, Section, $"the {what} is an object");
        _object = element;
        _what = what;
    }

    public bool Has(string member) => _object.TryGetProperty(member, out _);

    public string Text(string member)
    {
        try
        {
            return Member(member, JsonValueKind.String).GetString()!;
        }
        catch (InvalidOperationException e)
        {
            // An escape for half of a surrogate pair.
            throw new FormatViolationException(Section, $"{_what}.{member} is text", e);
        }
    }

    public string NameOrEmpty(string member, int longest)
    {
        string text = Text(member);
        Rule.Require(Octets.HasNoControls(text), "1", $"{_what}.{member} has no control characters");
        Rule.Require(Encoding.UTF8.GetByteCount(text) <= longest, Section, $"{_what}.{member} has up to {longest} octets");
        return text;
    }

    public JsonMembers Object(string member) => new(Member(member, JsonValueKind.Object), member);

    public ulong Number(string member)
    {
        // By digits alone: 7.0 and 7e0 are no u64, and nothing passes through floating point.
        string text = Member(member, JsonValueKind.Number).GetRawText();
        Rule.Require(
            ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out ulong number),
            Section,
            $"{_what}.{member} is a u64 in decimal digits");
        return number;
    }

    public Guid Id(string member)
    {
        Rule.Require(
            Octets.TryId(Text(member), out Guid id), Section, $"{_what}.{member} is a UUID in lower case, with hyphens");
        return id;
    }

    public ulong Time(string member)
    {
        bool parsed = DateTime.TryParseExact(
            Text(member),
            TimeFormat,
            CultureInfo.InvariantCulture,
            DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal,
            out DateTime time);
        Rule.Require(parsed && time >= DateTime.UnixEpoch, Section, $"{_what}.{member} is a time in UTC with six decimals");
        return (ulong)(time - DateTime.UnixEpoch).Ticks / TimeSpan.TicksPerMicrosecond;
    }

    public IEnumerable<JsonMembers> Objects(string member) =>
        Member(member, JsonValueKind.Array).EnumerateArray().Select(element => new JsonMembers(element, $"entry of {member}"));

    private JsonElement Member(string member, JsonValueKind kind)
    {
        Rule.Require(_object.TryGetProperty(member, out JsonElement element), Section, $"{_what}.{member} is there");
        Rule.Require(element.ValueKind == kind, Section, $"{_what}.{member} is of the kind {kind}");
        return element;
    }
}
