using Google.Protobuf.WellKnownTypes;
using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Images.Verification;
using V1 = XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Daemon;

/// <summary>The libraries' records as the contract's messages.</summary>
internal static class Messages
{
    internal static V1.Domain From(DomainInfo d)
    {
        var domain = new V1.Domain
        {
            Id = (uint)d.Id,
            Uuid = $"{d.Uuid}",
            Kind = d.Id == 0 ? V1.DomainKind.Control : d.Kind switch
            {
                GuestKind.Pv => V1.DomainKind.Pv,
                GuestKind.Pvh => V1.DomainKind.Pvh,
                GuestKind.Hvm => V1.DomainKind.Hvm,
                _ => V1.DomainKind.Unspecified,
            },
            State = d.StateLetters(),
            MemoryPages = (ulong)d.MemoryPages,
            MaxMemoryPages = (ulong)d.MaxMemoryPages,
            Vcpus = (uint)d.Vcpus,
            CpuTime = Duration.FromTimeSpan(d.CpuTime),
        };
        if (d.Name is { } name)
        {
            domain.Name = name;
        }

        if (d.ShutdownReason is { } reason)
        {
            string text = $"{reason}";
            domain.ShutdownReason = char.ToLowerInvariant(text[0]) + text[1..];
        }

        return domain;
    }

    internal static V1.CheckpointCause From(CheckpointCause cause) => cause switch
    {
        CheckpointCause.Requested => V1.CheckpointCause.Requested,
        CheckpointCause.Basic => V1.CheckpointCause.Basic,
        CheckpointCause.Forced => V1.CheckpointCause.Forced,
        _ => V1.CheckpointCause.Recovery,
    };

    internal static V1.CheckpointProgress From(CheckpointProgress p) => new()
    {
        Stage = p.Stage switch
        {
            CheckpointStage.Copying => V1.CheckpointStage.Copying,
            CheckpointStage.Suspending => V1.CheckpointStage.Suspending,
            _ => V1.CheckpointStage.Writing,
        },
        Fraction = Math.Clamp(p.Fraction, 0, 1),
    };

    internal static V1.CheckpointReport From(CheckpointReport r, CheckpointCause cause, ForcingMessage? forcedBy) => new()
    {
        Id = $"{r.Id}",
        Epoch = r.Epoch,
        Index = r.Index,
        Label = r.Label,
        Captured = Timestamp.FromDateTimeOffset(r.Captured),
        Pause = Duration.FromTimeSpan(r.Pause),
        Phases = From(r.Phases),
        Domains = { r.Domains.Select(From) },
        Cause = From(cause),
        ForcedBy = forcedBy is null ? null : new V1.ForcingMessage { Node = forcedBy.From, Sn = (ulong)forcedBy.Index },
        LeftOut = { r.LeftOut.Select(From) },
    };

    internal static V1.LeftOutDomain From(LeftOutDomain d) =>
        new() { Uuid = $"{d.Uuid}", Name = d.Name, Reason = d.Reason, Message = d.Message };

    internal static V1.DomainReport From(DomainReport d)
    {
        var report = new V1.DomainReport
        {
            Uuid = $"{d.Uuid}",
            Name = d.Name,
            Phases = From(d.Phases),
            Pages = (ulong)d.PopulatedPages,
            Residual = (ulong)d.Memory.Residual,
            Evicted = (ulong)d.Memory.Evicted,
            InVain = (ulong)d.Memory.InVain,
            Fed = (ulong)d.Memory.Fed,
            Unpopulated = (ulong)d.Memory.Unpopulated,
            Samples = (ulong)d.Memory.Samples,
        };
        if (d.FullBecause is { } reason)
        {
            report.FullBecause = reason;
        }

        return report;
    }

    internal static V1.Checkpoint From(CheckpointManifest m, long durableIndex, bool expendable) => new()
    {
        Id = $"{m.Id}",
        Epoch = m.Epoch,
        Index = m.Closing.Index,
        Label = m.Closing.Label,
        Captured = Timestamp.FromDateTimeOffset(m.Closing.Captured),
        Node = m.Node,
        Bytes = (ulong)m.Entries.Sum(d => d.Parts.Sum(p => p.Length)),
        Domains = { m.Domains.Select(From) },
        Durable = m.Closing.Index <= (ulong)durableIndex,
        LeftOut = { m.LeftOut.Select(From) },
        Expendable = expendable,
    };

    internal static V1.Peer From(PeerStatus p)
    {
        var peer = new V1.Peer
        {
            Name = p.Name,
            Connected = p.Connected,
            Sn = (ulong)p.Index,
            DurableSn = (ulong)p.DurableIndex,
            Incarnation = (ulong)p.Incarnation,
            Unacknowledged = (uint)p.Unacknowledged,
        };
        if (p.LastHeard is { } heard)
        {
            peer.LastHeard = Timestamp.FromDateTimeOffset(heard);
        }

        return peer;
    }

    internal static V1.Finding From(Finding f) => new() { File = f.File, Offset = (ulong)f.Offset, Problem = f.Problem };

    internal static V1.RestoredDomain From(IDomain domain) => new()
    {
        Uuid = $"{domain.Uuid}",
        Name = domain.GetInfo().Name ?? "",
        Id = (uint)domain.Id,
    };

    private static V1.CheckpointDomain From(ManifestDomain d) => new()
    {
        Uuid = $"{d.Uuid}",
        Name = d.Name,
        Parts = { d.Parts.Select(From) },
    };

    private static V1.Part From(ManifestPart p)
    {
        var part = new V1.Part
        {
            Content = p.Content switch
            {
                ImageContent.Registers => V1.PartContent.Reg,
                ImageContent.Memory => V1.PartContent.Inm,
                ImageContent.BlockDevice or ImageContent.Directory => V1.PartContent.Ind,
                _ => V1.PartContent.Com,
            },
            Name = p.Name,
            File = p.File,
            Bytes = (ulong)p.Length,
            Digest = p.Digest,
        };
        if (p.ParentId != Guid.Empty)
        {
            part.Parent = $"{p.ParentId}";
        }

        return part;
    }

    private static V1.Phases From(PhaseTimes p) => new()
    {
        Suspend = Duration.FromTimeSpan(p.Suspend),
        Registers = Duration.FromTimeSpan(p.Registers),
        Memory = Duration.FromTimeSpan(p.Memory),
        Disks = Duration.FromTimeSpan(p.Disks),
        Channels = Duration.FromTimeSpan(p.Channels),
        Resume = Duration.FromTimeSpan(p.Resume),
    };
}
