using System.Buffers.Binary;
using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace XenTwoLevelCkpt.NativeInterop.Tests.Xen;

/// <summary>
/// A xenstored to talk to: the wire protocol of <c>xen/io/xs_wire.h</c> over a socket, a
/// store in memory, transactions that fail when anything was changed meanwhile. One lock serialises everything.
/// </summary>
/// <remarks>The real daemon cannot serve a machine without a hypervisor.</remarks>
public sealed class FakeXenstored : IDisposable
{
    private const int Directory_ = 1, Read = 2, Watch = 4, Unwatch = 5, TransactionStart = 6, TransactionEnd = 7,
        GetDomainPath = 10, Write = 11, Rm = 13, WatchEvent = 15, Error = 16, IsDomainIntroduced = 17, Resume = 18,
        DirectoryPart = 22;

    private const int PayloadMax = 4096;

    private readonly string _directory = Directory.CreateTempSubdirectory("xenstored").FullName;
    private readonly ManualResetEventSlim _answers = new(initialState: true);
    private Socket? _listener;
    private readonly Lock _gate = new();
    private readonly List<Connection> _connections = [];
    private readonly Dictionary<uint, (int Base, SortedDictionary<string, string> Nodes)> _transactions = [];
    private SortedDictionary<string, string> _nodes = new(StringComparer.Ordinal) { ["/"] = "" };
    private int _generation;
    private uint _nextTransaction = 1;

    public FakeXenstored()
    {
        Environment.SetEnvironmentVariable("XENSTORED_PATH", Socket);
        Start();
    }

    /// <summary>Where it listens.</summary>
    public string Socket => Path.Combine(_directory, "socket");

    /// <summary>Requests that were read, of all connections.</summary>
    public int Requests { get; private set; }

    /// <summary>What happens at the next request of a type, once: it is handled, and this much of the answer is sent before the
    /// connection ends.</summary>
    public (int Type, int Octets)? CutNext { get; set; }

    /// <summary>Listens again after <see cref="Kill"/>, and knows nothing of before, as a daemon that was started anew.</summary>
    public void Start()
    {
        File.Delete(Socket);
        var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(Socket));
        listener.Listen();
        lock (_gate)
        {
            _listener = listener;
            _nodes = new SortedDictionary<string, string>(StringComparer.Ordinal) { ["/"] = "" };
            _transactions.Clear();
        }

        new Thread(() => Accept(listener)) { IsBackground = true }.Start();
    }

    /// <summary>Answers nothing from now on.</summary>
    public void Hang() => _answers.Reset();

    /// <summary>Answers what it was asked while it hung, and goes on.</summary>
    public void GoOn() => _answers.Set();

    /// <summary>Transactions that were started and not ended.</summary>
    public int OpenTransactions
    {
        get
        {
            lock (_gate)
            {
                return _transactions.Count;
            }
        }
    }

    /// <summary>Closes all connections, as a daemon that died.</summary>
    public void Kill()
    {
        lock (_gate)
        {
            _listener?.Dispose();
            _connections.ForEach(c => c.Socket.Dispose());
        }
    }

    public void Dispose()
    {
        GoOn();
        Kill();
        Environment.SetEnvironmentVariable("XENSTORED_PATH", null);
        Directory.Delete(_directory, recursive: true);
    }

    private void Accept(Socket listener)
    {
        try
        {
            while (true)
            {
                var connection = new Connection(listener.Accept());
                lock (_gate)
                {
                    _connections.Add(connection);
                }

                new Thread(() => Serve(connection)) { IsBackground = true }.Start();
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Killed.
        }
    }

    private void Serve(Connection connection)
    {
        byte[] header = new byte[16];
        try
        {
            using var stream = new NetworkStream(connection.Socket, ownsSocket: true);
            while (true)
            {
                stream.ReadExactly(header);
                int type = BinaryPrimitives.ReadInt32LittleEndian(header);
                uint request = BinaryPrimitives.ReadUInt32LittleEndian(header.AsSpan(4));
                uint transaction = BinaryPrimitives.ReadUInt32LittleEndian(header.AsSpan(8));
                byte[] body = new byte[BinaryPrimitives.ReadInt32LittleEndian(header.AsSpan(12))];
                stream.ReadExactly(body);
                lock (_gate)
                {
                    Requests++;
                }

                _answers.Wait();
                lock (_gate)
                {
                    var events = new List<(Connection To, string Body)>();
                    string reply = Handle(connection, type, transaction, Encoding.UTF8.GetString(body), events);
                    bool failed = reply.StartsWith('!');
                    if (CutNext is { } cut && cut.Type == type)
                    {
                        CutNext = null;
                        Send(connection, type, request, transaction, reply, cut.Octets);
                        return;
                    }

                    Send(connection, failed ? Error : type, request, transaction, failed ? reply[1..] + "\0" : reply);
                    events.ForEach(e => Send(e.To, WatchEvent, 0, 0, e.Body));
                }
            }
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException or SocketException)
        {
            lock (_gate)
            {
                _connections.Remove(connection);
            }
        }
    }

    // Returns the reply's body, or an error's name behind an exclamation mark.
    private string Handle(
        Connection connection, int type, uint transaction, string body, List<(Connection To, string Body)> events)
    {
        string[] parts = body.Split('\0');
        string path = parts[0];
        if (path.Contains(' ', StringComparison.Ordinal))
        {
            return "!EINVAL";
        }

        SortedDictionary<string, string> nodes = _nodes;
        if (transaction != 0)
        {
            if (!_transactions.TryGetValue(transaction, out (int Base, SortedDictionary<string, string> Nodes) open))
            {
                return "!ENOENT";
            }

            nodes = open.Nodes;
        }

        switch (type)
        {
            case Read:
                return nodes.TryGetValue(path, out string? value) ? value : "!ENOENT";
            case Directory_:
                return !nodes.ContainsKey(path) ? "!ENOENT" : Names() is { Length: <= PayloadMax } names ? names : "!E2BIG";
            case DirectoryPart:
                int offset = int.Parse(parts[1], CultureInfo.InvariantCulture);
                string generation = $"{_generation}\0";
                string all = Names() + "\0";
                return !nodes.ContainsKey(path) ? "!ENOENT"
                    : string.Concat(generation, all.AsSpan(offset, Math.Min(all.Length - offset, PayloadMax - generation.Length)));
            case Write:
                for (string parent = Parent(path); nodes.TryAdd(parent, ""); parent = Parent(parent))
                {
                }

                nodes[path] = body[(path.Length + 1)..];
                Changed(path);
                return "OK\0";
            case Rm:
                if (!nodes.ContainsKey(path))
                {
                    return nodes.ContainsKey(Parent(path)) ? "OK\0" : "!ENOENT";
                }

                foreach (string key in nodes.Keys.Where(k => IsBelow(k, path)).ToArray())
                {
                    nodes.Remove(key);
                }

                Changed(path);
                return "OK\0";
            case Watch:
                if (!connection.Watches.Add((path, parts[1])))
                {
                    return "!EEXIST";
                }

                events.Add((connection, $"{path}\0{parts[1]}\0"));
                return "OK\0";
            case Unwatch:
                return connection.Watches.Remove((path, parts[1])) ? "OK\0" : "!ENOENT";
            case TransactionStart:
                uint id = _nextTransaction++;
                _transactions.Add(
                    id, (_generation, new SortedDictionary<string, string>(_nodes, StringComparer.Ordinal)));
                return $"{id}\0";
            case TransactionEnd:
                int started = _transactions[transaction].Base;
                _transactions.Remove(transaction);
                if (path == "T")
                {
                    if (started != _generation)
                    {
                        return "!EAGAIN";
                    }

                    _nodes = nodes;
                    _generation++;
                }

                return "OK\0";
            case GetDomainPath:
                return $"/local/domain/{path}\0";
            case IsDomainIntroduced:
                return nodes.ContainsKey($"/local/domain/{path}") ? "T\0" : "F\0";
            case Resume:
                return nodes.ContainsKey($"/local/domain/{path}") ? "OK\0" : "!ENOENT";
            default:
                return "!ENOSYS";
        }

        string Names() => string.Concat(nodes.Keys
            .Where(k => Parent(k) == path && k != path).Select(k => k[(k.LastIndexOf('/') + 1)..] + "\0"));

        void Changed(string changed)
        {
            if (transaction != 0)
            {
                return;
            }

            _generation++;
            events.AddRange(
                from c in _connections
                from w in c.Watches
                where IsBelow(changed, w.Path)
                select (c, $"{changed}\0{w.Token}\0"));
        }
    }

    private static string Parent(string path) => path[..Math.Max(1, path.LastIndexOf('/'))];

    private static bool IsBelow(string path, string root) =>
        path == root || path.StartsWith(root + "/", StringComparison.Ordinal);

    private static void Send(Connection to, int type, uint request, uint transaction, string body, int octets = int.MaxValue)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(body);
        byte[] message = new byte[16 + bytes.Length];
        BinaryPrimitives.WriteInt32LittleEndian(message, type);
        BinaryPrimitives.WriteUInt32LittleEndian(message.AsSpan(4), request);
        BinaryPrimitives.WriteUInt32LittleEndian(message.AsSpan(8), transaction);
        BinaryPrimitives.WriteInt32LittleEndian(message.AsSpan(12), bytes.Length);
        bytes.CopyTo(message, 16);
        to.Socket.Send(message.AsSpan(0, Math.Min(octets, message.Length)));
    }

    private sealed class Connection(Socket socket)
    {
        internal Socket Socket { get; } = socket;

        internal HashSet<(string Path, string Token)> Watches { get; } = [];
    }
}
