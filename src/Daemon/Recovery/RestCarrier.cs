using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Store;

namespace XenTwoLevelCkpt.Daemon.Recovery;

/// <summary>Carries out those effects of a recovery that need nothing but the node's disk and its hypervisor.</summary>
internal sealed class RestCarrier(NodeCore core, DirectoryStore store, NodeStateFile file)
{
    /// <summary>Carries an effect out.</summary>
    /// <param name="effect">The effect.</param>
    /// <returns>The outcome; null where the effect needs more.</returns>
    internal EffectOutcome? TryCarry(RecoveryEffect effect)
    {
        switch (effect)
        {
            case RecoveryEffect.WriteRecord write:
                file.Write(write.Record);
                return EffectOutcome.Done.Value;
            case RecoveryEffect.RemoveDiscarded remove:
                return new EffectOutcome.Removed(Remove(remove.Epochs));
            case RecoveryEffect.LetRun run:
                foreach (Guid domain in run.Domains)
                {
                    LetRun(domain);
                }

                return EffectOutcome.Done.Value;
            default:
                return null;
        }
    }

    private void LetRun(Guid uuid)
    {
        try
        {
            using IDomain domain = core.Hypervisor.OpenDomain(uuid);
            if (domain.GetInfo().State.HasFlag(DomainStates.Paused))
            {
                domain.Unpause();
                core.Platform.Running([domain]);
                core.Log.Undone($"Domain {domain.GetInfo().Name ?? $"{uuid}"} was restored by a recovery and runs now.");
            }
        }
        catch (DomainNotFoundException)
        {
            // Gone since.
        }
    }

    // Newest first: nothing builds upon what goes.
    private bool Remove(DiscardedEpochs gone)
    {
        bool all = true;
        foreach (CheckpointManifest manifest in store.Checkpoints.Reverse()
            .Where(m => m.Epoch > gone.After && m.Epoch <= gone.Through))
        {
            core.Pulse.Beat();
            all &= store.Remove(manifest.Epoch);
        }

        return all;
    }
}
