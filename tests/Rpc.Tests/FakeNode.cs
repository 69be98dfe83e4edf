using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Grpc.Core;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Rpc.Tests;

/// <summary>A node that only says what it is told to. Every field of its answers is set.</summary>
internal sealed class FakeNode : NodeControl.NodeControlBase
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
        "SetDomain" => [Domains.Domains[1]],
        "Checkpoint" => CheckpointUpdates,
        "ListCheckpoints" => [new ListCheckpointsResponse { Checkpoints = { Manifest }, More = true }],
        "ShowCheckpoint" => [new ShowCheckpointResponse { Checkpoint = Manifest, Domains = { Report.Domains } }],
        "Verify" => VerifyUpdates,
        "Restore" => RestoreUpdates,
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
        Recovery = new RecoveryRecord { Line = 40, Incarnation = 3, Moves = { new Move { Node = "gamma", To = "alpha" } }, Done = true },
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
                Coverage = new Coverage { State = CoverageState.LeftOut, Reason = "suspended", Message = "größe is suspended." },
                Policy = new DomainPolicy { Include = true, WhenUnable = WhenUnable.Skip },
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

    private static IReadOnlyList<IMessage> CheckpointUpdates { get; } =
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

    private static IReadOnlyList<IMessage> VerifyUpdates { get; } =
    [
        new VerifyUpdate { Progress = new VerifyProgress { Images = 1, TotalImages = 2 } },
        new VerifyUpdate { Finding = new Finding { File = "/store/a.inm", Offset = 160, Problem = "the checksum is wrong" } },
        new VerifyUpdate { Summary = new VerifySummary { Checkpoints = 1, Findings = 1 } },
    ];

    private static IReadOnlyList<IMessage> RestoreUpdates { get; } =
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

    public override Task<Node> GetNode(GetNodeRequest request, ServerCallContext context)
    {
        context.ResponseTrailers.Add("x-echo", context.RequestHeaders.GetValue("x-echo") ?? "none");
        context.ResponseTrailers.Add("x-echo-bin", context.RequestHeaders.GetValueBytes("x-echo-bin") ?? []);
        return Task.FromResult(Node);
    }

    public override Task<ListDomainsResponse> ListDomains(ListDomainsRequest request, ServerCallContext context) =>
        Task.FromResult(Domains);

    public override Task<Domain> SetDomain(SetDomainRequest request, ServerCallContext context) =>
        Task.FromResult(Domains.Domains[1]);

    public override Task Checkpoint(
        CheckpointRequest request, IServerStreamWriter<CheckpointUpdate> responseStream, ServerCallContext context) =>
        System.Text.Encoding.UTF8.GetByteCount(request.Label) > 64
            ? throw StatusException.Because(StatusCode.InvalidArgument, "LABEL", "The label is longer than 64 octets.")
            : SendAsync(CheckpointUpdates, responseStream);

    public override Task<ListCheckpointsResponse> ListCheckpoints(ListCheckpointsRequest request, ServerCallContext context) =>
        Task.FromResult((ListCheckpointsResponse)Answers("ListCheckpoints")[0]);

    public override Task<ShowCheckpointResponse> ShowCheckpoint(ShowCheckpointRequest request, ServerCallContext context) =>
        request.Checkpoint == "latest"
            ? Task.FromResult((ShowCheckpointResponse)Answers("ShowCheckpoint")[0])
            : throw StatusException.Because(
                StatusCode.NotFound, "CHECKPOINT", $"There is no checkpoint '{request.Checkpoint}': für 100% nicht.");

    public override Task Verify(VerifyRequest request, IServerStreamWriter<VerifyUpdate> responseStream, ServerCallContext context) =>
        SendAsync(VerifyUpdates, responseStream);

    public override Task Restore(RestoreRequest request, IServerStreamWriter<RestoreUpdate> responseStream, ServerCallContext context) =>
        SendAsync(RestoreUpdates, responseStream);

    public override async Task<RecoverResponse> Recover(RecoverRequest request, ServerCallContext context)
    {
        if (request.Line == 0)
        {
            await Task.Delay(Timeout.InfiniteTimeSpan, context.CancellationToken);
        }

        return Recovered;
    }

    public override Task<CollectGarbageResponse> CollectGarbage(CollectGarbageRequest request, ServerCallContext context) =>
        Task.FromResult(Collected);

    public override async Task WatchEvents(WatchEventsRequest request, IServerStreamWriter<Event> responseStream, ServerCallContext context)
    {
        await SendAsync(Events, responseStream);
        try
        {
            await Task.Delay(Timeout.InfiniteTimeSpan, context.CancellationToken);
        }
        finally
        {
            _ = WatchEnded.TrySetResult();
        }
    }

    private static Duration Span(int milliseconds) => Duration.FromTimeSpan(TimeSpan.FromMilliseconds(milliseconds));

    private static async Task SendAsync<T>(IReadOnlyList<IMessage> messages, IServerStreamWriter<T> responseStream)
        where T : class
    {
        foreach (IMessage message in messages)
        {
            await responseStream.WriteAsync((T)message);
        }
    }
}

/// <summary>A node's channel that acknowledges what it is sent.</summary>
internal sealed class FakeChannel : NodeChannelBase
{
    /// <summary>Ends when a stream ends.</summary>
    internal TaskCompletionSource Ended { get; init; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public override async Task Exchange(
        IAsyncStreamReader<ChannelMessage> requestStream, IServerStreamWriter<ChannelMessage> responseStream,
        ServerCallContext context)
    {
        var stream = new ChannelStream(requestStream, responseStream, context.CancellationToken);
        try
        {
            if (await stream.ReadAsync() is not { Hello: { } hello })
            {
                throw new StatusException(StatusCode.InvalidArgument, "The first message is no Hello.");
            }

            await stream.WriteAsync(
                new ChannelMessage { Hello = new Hello { Node = "beta", ProtocolVersion = hello.ProtocolVersion } });
            while (await stream.ReadAsync() is { } message)
            {
                await stream.WriteAsync(message.KindCase == ChannelMessage.KindOneofCase.Batch
                    ? new ChannelMessage { Acknowledgement = new Acknowledgement { Through = message.Batch.Sequence } }
                    : message);
            }
        }
        finally
        {
            _ = Ended.TrySetResult();
        }
    }
}
