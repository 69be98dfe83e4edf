using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Images.Store;

namespace XenTwoLevelCkpt.ClusterSimulation;

/// <content>Checkpoints of the node.</content>
internal sealed partial class SimulatedDaemon
{
    // What the daemon's loop does when it wakes.
    private void Loop()
    {
        if (_turnTaken || Disk.Record.Pending is not null)
        {
            return;
        }

        if (_begun is null)
        {
            if (_retryAt <= World.Now)
            {
                _retryAt = long.MaxValue;
                Core.Retry();
            }
            else if (_basicAt <= World.Now)
            {
                _basicAt = World.Now + World.NextBasic();
                _ = Core.Tick(CheckpointCause.Basic);
            }
        }

        if (_begun is { } begun)
        {
            _begun = null;
            _turnTaken = true;
            _giveUp = false;
            Save(begun, () => _giveUp, saved =>
            {
                if (!saved)
                {
                    Core.CheckpointFailed();
                    PumpSoon();
                    _retryAt = World.Now + 10_000;
                }

                _turnTaken = false;
                Later(0, Loop);
            });
        }

        long next = Math.Min(_retryAt, _basicAt);
        if (next != long.MaxValue)
        {
            Later(Math.Max(1_000, next - World.Now), Loop);
        }
    }

    // All domains stand still at one moment; what is captured reaches the store later, and the end of it is told later still.
    private void Save(BegunCheckpoint begun, Func<bool> givenUp, Action<bool> done) => Later(World.Random.Next(3_000), () =>
    {
        if (givenUp())
        {
            done(false);
            return;
        }

        Core.RequireCheckpoint();
        Router.Drain();
        Core.Suspended();
        var domains = Host.Domains.Where(d => !d.IsPaused).ToDictionary(d => d.Uuid, d => d.Account);
        byte[] channels = Core.Noted().Encode();
        Later(World.Random.Next(8_000), () =>
        {
            if (givenUp() || World.DiskFails())
            {
                done(false);
                return;
            }

            (long saved, long reached) = (Core.SavedIndex, Core.Index);
            Disk.Save(begun.Label, reached > saved ? new CheckpointPredecessor((ulong)saved, (ulong)reached) : null, channels, domains);
            World.Note($"{Host.Name}: saves checkpoint {begun.Label} of {string.Join(", ", domains.Keys)}");
            Later(World.Random.Next(1_000), () =>
            {
                if (_begun == begun)
                {
                    _begun = null;
                }

                Core.CheckpointDone();
                Core.DurableIndex = Core.SavedIndex;
                PumpSoon();
                done(true);
            });
        });
    });

    // A checkpoint that the messages have asked for and nobody takes.
    private void GiveUpBegun()
    {
        if (_begun is not null)
        {
            _begun = null;
            Core.CheckpointFailed();
        }
    }

    // The line waits for this checkpoint: it is tried until it succeeds.
    private void Raise(Action done)
    {
        if (_begun is not { } begun)
        {
            done();
            return;
        }

        Save(begun, () => false, saved =>
        {
            if (saved)
            {
                Raise(done);
            }
            else
            {
                Later(10_000, () => Raise(done));
            }
        });
    }
}
