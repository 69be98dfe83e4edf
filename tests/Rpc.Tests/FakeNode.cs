using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using XenTwoLevelCkpt.Rpc.Nodes;
using XenTwoLevelCkpt.Rpc.Server;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Rpc.Tests;

/// <summary>A node that only says what it is told to. Every field of its answers is set.</summary>
internal sealed class FakeNode : NodeControlService
{
    private const string Id = "0f3c1a52-7a0e-4a0b-9a57-51b6f6b1c001";
    private const string Guest = "7f0d8c1e-95c5-4c1b-8a43-9d7cf0f2a002";
    private static readonly Timestamp At = Timestamp.FromDateTimeOffset(new DateTimeOffset(2026, 5, 4, 3, 2, 1, TimeSpan.Zero));

    /// <summary>Ends when a client gives up watching.</summary>
    internal TaskCompletionSource WatchEnded { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>What calls of a method say, in the order of the messages.</summary>
    internal static IReadOnlyList<IMessage> Answers(string method) => method switch
    {
        "GetNode" => [Node],
        "ListDomains" => [Domains],
        "Checkpoint" => Checkpoint,
        "ListCheckpoints" => [new ListCheckpointsResponse { Checkpoints = { Manifest }, More = true }],
        "ShowCheckpoint" => [new ShowCheckpointResponse { Checkpoint = Manifest, Domains = { Report.Domains } }],
        "Verify" => Verify,
        "Restore" => Restore,
        "Recover" => [Recovered],
        "CollectGarbage" => [Collected],
        "WatchEvents" => Events,
        _ => throw new ArgumentException("There is no such method.", nameof(method)),
    };

    private static Node Node { get; } = new()
    {
        Name = "alpha",
        ClusterId = Id,
        Incarnation = 3,
        Sn = ulong.MaxValue >> 1,
        DurableSn = 41,
        State = NodeState.Ready,
        Version = "0.1.0",
        Hypervisor = "Xen 4.17.5",
        Started = At,
        Protocol = "bcs",
        Domains = 2,
        Recovery = new RecoveryRecord { Line = 40, Incarnation = 3, LostNode = "gamma", Done = true },
        Peers = { new Peer { Name = "beta", Connected = true, Sn = 40, DurableSn = 39, Incarnation = 3, LastHeard = At, Unacknowledged = 7 } },
    };

    private static ListDomainsResponse Domains { get; } = new()
    {
        Domains =
        {
            new Domain
            {
                Id = 0,
                Uuid = new Guid().ToString(),
                Kind = DomainKind.Control,
                State = "r-----",
                MemoryPages = 1 << 18,
                MaxMemoryPages = ulong.MaxValue,
                Vcpus = 2,
                CpuTime = Duration.FromTimeSpan(TimeSpan.FromSeconds(12.5)),
            },
            new Domain
            {
                Id = 7,
                Uuid = Guest,
                Name = "größe",
                Kind = DomainKind.Pvh,
                State = "---s--",
                ShutdownReason = "suspend",
                MemoryPages = 65536,
                MaxMemoryPages = 65792,
                Vcpus = 1,
                CpuTime = Duration.FromTimeSpan(TimeSpan.FromTicks(1)),
            },
        },
    };

    private static Phases Phases { get; } = new()
    {
        Suspend = Span(1),
        Registers = Span(2),
        Memory = Span(3),
        Disks = Span(4),
        Channels = Span(5),
        Resume = Span(6),
    };

    private static CheckpointReport Report { get; } = new()
    {
        Id = Id,
        Epoch = 12,
        Index = 42,
        Label = "before the upgrade",
        Captured = At,
        Pause = Span(17),
        Phases = Phases,
        Cause = CheckpointCause.Forced,
        Domains =
        {
            new DomainReport
            {
                Uuid = Guest,
                Name = "größe",
                Phases = Phases,
                FullBecause = "it is the first one",
                Pages = 65536,
                Residual = 100,
                Evicted = 200,
                InVain = 3,
                Fed = 65236,
                Unpopulated = 4,
                Samples = 9,
            },
        },
    };

    private static IReadOnlyList<IMessage> Checkpoint { get; } =
    [
        new CheckpointUpdate { Progress = new CheckpointProgress { Stage = CheckpointStage.Copying, Fraction = 0.25 } },
        new CheckpointUpdate { Progress = new CheckpointProgress { Stage = CheckpointStage.Writing, Fraction = 1 } },
        new CheckpointUpdate { Report = Report },
    ];

    private static Checkpoint Manifest { get; } = new()
    {
        Id = Id,
        Epoch = 12,
        Index = 42,
        Label = "before the upgrade",
        Captured = At,
        Node = "alpha",
        Bytes = 1UL << 40,
        Durable = true,
        Domains =
        {
            new CheckpointDomain
            {
                Uuid = Guest,
                Name = "größe",
                Parts =
                {
                    new Part { Content = PartContent.Inm, Parent = Id, File = "a.inm", Bytes = 5, Digest = new string('a', 64) },
                    new Part { Content = PartContent.Ind, Name = "xvda", File = "a.xvda.ind", Bytes = 6, Digest = new string('b', 64) },
                },
            },
        },
    };

    private static IReadOnlyList<IMessage> Verify { get; } =
    [
        new VerifyUpdate { Progress = new VerifyProgress { Images = 1, TotalImages = 2 } },
        new VerifyUpdate { Finding = new Finding { File = "/store/a.inm", Offset = 160, Problem = "the checksum is wrong" } },
        new VerifyUpdate { Summary = new VerifySummary { Checkpoints = 1, Findings = 1 } },
    ];

    private static IReadOnlyList<IMessage> Restore { get; } =
    [
        new RestoreUpdate { Fraction = 0.5 },
        new RestoreUpdate
        {
            Result = new RestoreResult { CheckpointId = Id, Domains = { new RestoredDomain { Uuid = Guest, Name = "größe", Id = 8 } } },
        },
    ];

    private static RecoverResponse Recovered { get; } = new()
    {
        Action = RecoverAction.RollBack,
        CheckpointId = Id,
        Index = 42,
        Domains = { new RestoredDomain { Uuid = Guest, Name = "größe", Id = 9 } },
        ReplayedBatches = 3,
    };

    private static CollectGarbageResponse Collected { get; } = new() { Epochs = { 1, 2 }, Bytes = 1 << 30 };

    private static IReadOnlyList<IMessage> Events { get; } =
    [
        new Event { Sequence = 1, At = At, State = NodeState.Checkpointing },
        new Event { Sequence = 2, At = At, CheckpointProgress = new CheckpointProgress { Stage = CheckpointStage.Suspending } },
        new Event { Sequence = 3, At = At, CheckpointTaken = Report },
        new Event
        {
            Sequence = 4,
            At = At,
            CheckpointFailed = new Failure { Reason = "SUSPEND_TIMEOUT", Message = "guest 'größe' did not suspend" },
        },
        new Event { Sequence = 5, At = At, DurableSn = 42 },
        new Event { Sequence = 6, At = At, PeerChanged = new Peer { Name = "beta" } },
        new Event { Sequence = 7, At = At, Recovered = Recovered },
        new Event { Sequence = 9, At = At, Missed = new Missed { Events = 1 } },
    ];

    protected override Task<Node> GetNodeAsync(GetNodeRequest request, CallContext call)
    {
        call.ResponseTrailers.Add("x-echo", call.RequestHeaders.GetText("x-echo") ?? "none");
        call.ResponseTrailers.Add("x-echo-bin", call.RequestHeaders.GetBinary("x-echo-bin") ?? default);
        return Task.FromResult(Node);
    }

    protected override Task<ListDomainsResponse> ListDomainsAsync(ListDomainsRequest request, CallContext call) =>
        Task.FromResult(Domains);

    protected override Task CheckpointAsync(
        CheckpointRequest request, IMessageWriter<CheckpointUpdate> responses, CallContext call) =>
        System.Text.Encoding.UTF8.GetByteCount(request.Label) > 64
            ? throw StatusException.Because(StatusCode.InvalidArgument, "LABEL", "The label is longer than 64 octets.")
            : SendAsync(Checkpoint, responses);

    protected override Task<ListCheckpointsResponse> ListCheckpointsAsync(ListCheckpointsRequest request, CallContext call) =>
        Task.FromResult((ListCheckpointsResponse)Answers("ListCheckpoints")[0]);

    protected override Task<ShowCheckpointResponse> ShowCheckpointAsync(ShowCheckpointRequest request, CallContext call) =>
        request.Checkpoint == "latest"
            ? Task.FromResult((ShowCheckpointResponse)Answers("ShowCheckpoint")[0])
            : throw StatusException.Because(
                StatusCode.NotFound, "CHECKPOINT", $"There is no checkpoint '{request.Checkpoint}': für 100% nicht.");

    protected override Task VerifyAsync(VerifyRequest request, IMessageWriter<VerifyUpdate> responses, CallContext call) =>
        SendAsync(Verify, responses);

    protected override Task RestoreAsync(RestoreRequest request, IMessageWriter<RestoreUpdate> responses, CallContext call) =>
        SendAsync(Restore, responses);

    protected override async Task<RecoverResponse> RecoverAsync(RecoverRequest request, CallContext call)
    {
        if (request.Line == 0)
        {
            await Task.Delay(Timeout.InfiniteTimeSpan, call.CancellationToken);
        }

        return Recovered;
    }

    protected override Task<CollectGarbageResponse> CollectGarbageAsync(CollectGarbageRequest request, CallContext call) =>
        Task.FromResult(Collected);

    protected override async Task WatchEventsAsync(WatchEventsRequest request, IMessageWriter<Event> responses, CallContext call)
    {
        await SendAsync(Events, responses);
        try
        {
            await Task.Delay(Timeout.InfiniteTimeSpan, call.CancellationToken);
        }
        finally
        {
            _ = WatchEnded.TrySetResult();
        }
    }

    private static Duration Span(int milliseconds) => Duration.FromTimeSpan(TimeSpan.FromMilliseconds(milliseconds));

    private static async Task SendAsync<T>(IReadOnlyList<IMessage> messages, IMessageWriter<T> responses)
        where T : class
    {
        foreach (IMessage message in messages)
        {
            await responses.WriteAsync((T)message);
        }
    }
}

/// <summary>A node's channel that acknowledges what it is sent.</summary>
internal sealed class FakeChannel : NodeChannelService
{
    protected override async Task ExchangeAsync(
        IMessageReader<ChannelMessage> received, IMessageWriter<ChannelMessage> sent, CallContext call)
    {
        if (await received.ReadAsync() is not { Hello: { } hello })
        {
            throw new StatusException(StatusCode.InvalidArgument, "The first message is no Hello.");
        }

        await sent.WriteAsync(new ChannelMessage { Hello = new Hello { Node = "beta", ProtocolVersion = hello.ProtocolVersion } });
        while (await received.ReadAsync() is { } message)
        {
            await sent.WriteAsync(message.KindCase == ChannelMessage.KindOneofCase.Batch
                ? new ChannelMessage { Acknowledgement = new Acknowledgement { Through = message.Batch.Sequence } }
                : message);
        }
    }
}
