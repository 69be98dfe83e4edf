namespace XenTwoLevelCkpt.Channels;

/// <content>What the messages tell of themselves, and are told.</content>
internal sealed partial class NodeMessenger<TProtocol>
{
    public override long Index
    {
        get
        {
            lock (_lock)
            {
                return _core.Index;
            }
        }
    }

    public override int Incarnation
    {
        get
        {
            lock (_lock)
            {
                return _core.Incarnation;
            }
        }
    }

    public override FrameLosses Losses => _router.Losses;

    public override void KnowGuests(IReadOnlyCollection<ulong> addresses) => _router.Know(addresses);

    public override long SavedIndex
    {
        get
        {
            lock (_lock)
            {
                return _core.SavedIndex;
            }
        }
    }

    public override long DurableIndex
    {
        get
        {
            lock (_lock)
            {
                return _core.DurableIndex;
            }
        }

        set
        {
            lock (_lock)
            {
                _core.DurableIndex = value;
            }
        }
    }

    public override long OldestKept
    {
        get
        {
            lock (_lock)
            {
                return _core.OldestKept;
            }
        }

        set
        {
            lock (_lock)
            {
                _core.OldestKept = value;
            }
        }
    }

    public override int SettledIncarnation
    {
        get
        {
            lock (_lock)
            {
                return _core.SettledIncarnation;
            }
        }

        set
        {
            lock (_lock)
            {
                _core.SettledIncarnation = value;
            }
        }
    }

    public override bool AwaitsRecovery
    {
        get
        {
            lock (_lock)
            {
                return _core.AwaitsRecovery;
            }
        }
    }

    public override bool AwaitsAdoption
    {
        get
        {
            lock (_lock)
            {
                return _core.AwaitsAdoption;
            }
        }
    }

    public override string? ToSettle
    {
        get
        {
            lock (_lock)
            {
                return _core.ToSettle;
            }
        }
    }

    public override IReadOnlyList<PeerStatus> Peers
    {
        get
        {
            lock (_lock)
            {
                return _core.Peers(_uplinkProblem);
            }
        }
    }
}
