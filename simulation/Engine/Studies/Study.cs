namespace XenTwoLevelCkpt.Simulation.Studies;

/// <summary>A study: jobs that do not depend on each other, each with numbers as its result. The list of jobs follows
/// from the study's settings alone, so that a part of it can run elsewhere.</summary>
public abstract class Study
{
    /// <summary>How many jobs there are.</summary>
    public abstract int Jobs { get; }

    /// <summary>Runs one job.</summary>
    /// <param name="job">Its number, from 0.</param>
    public abstract double[] RunJob(int job);

    /// <summary>A number that grows with a job's work: the largest start first, so that no core is left with a long one
    /// at the end.</summary>
    /// <param name="job">The job.</param>
    public virtual double WorkOf(int job) => 1;

    /// <summary>Runs jobs in parallel. Their results do not depend on the number of threads.</summary>
    /// <param name="jobs">The jobs.</param>
    /// <param name="threads">Threads, at least 1.</param>
    /// <param name="done">Told after each job how many are done; from several threads, one at a time.</param>
    /// <param name="cancellation">Ends the study before its time.</param>
    /// <returns>The results, in the order of <paramref name="jobs"/>.</returns>
    public double[][] RunJobs(
        IReadOnlyList<int> jobs, int threads, Action<int>? done = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(jobs);
        var results = new double[jobs.Count][];
        int[] order = [.. Enumerable.Range(0, jobs.Count).OrderByDescending(i => WorkOf(jobs[i]))];
        int next = 0, finished = 0;
        var gate = new Lock();
        Exception? failure = null;
        void Work()
        {
            while (Volatile.Read(ref failure) is null && !cancellation.IsCancellationRequested)
            {
                int i = Interlocked.Increment(ref next) - 1;
                if (i >= order.Length)
                {
                    return;
                }

                try
                {
                    results[order[i]] = RunJob(jobs[order[i]]);
                }
#pragma warning disable CA1031 // Passed on to the caller's thread.
                catch (Exception e)
#pragma warning restore CA1031
                {
                    Volatile.Write(ref failure, e);
                    return;
                }

                lock (gate)
                {
                    done?.Invoke(++finished);
                }
            }
        }

        Thread[] workers = [.. Enumerable.Range(0, Math.Min(threads, order.Length)).Select(_ => new Thread(Work))];
        foreach (Thread worker in workers)
        {
            worker.Start();
        }

        foreach (Thread worker in workers)
        {
            worker.Join();
        }

        cancellation.ThrowIfCancellationRequested();
        if (failure is not null)
        {
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(failure);
        }

        return results;
    }
}
