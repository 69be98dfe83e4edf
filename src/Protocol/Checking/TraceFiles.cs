namespace XenTwoLevelCkpt.Protocol.Checking;

/// <summary>Traces that single nodes recorded into files of their own.</summary>
public static class TraceFiles
{
    /// <summary>Merges traces into one, complete to its end.</summary>
    /// <param name="paths">The files, of either form, at least one; each node's records in one of them. What other nodes
    /// recorded of a lost one, after their recovery, may be there, too.</param>
    /// <param name="lost">Those of them whose nodes are lost: where such a trace is cut, its node failed.</param>
    /// <param name="create">Begins the merged trace with its header.</param>
    /// <exception cref="TraceException">As for <see cref="TraceMerger"/>; the message names the file that cannot be read.
    /// </exception>
    /// <exception cref="IOException">A file cannot be read.</exception>
    public static void Merge(
        IReadOnlyList<string> paths, IReadOnlyCollection<string> lost, Func<TraceHeader, TraceWriter> create)
    {
        ArgumentNullException.ThrowIfNull(paths);
        ArgumentNullException.ThrowIfNull(lost);
        ArgumentNullException.ThrowIfNull(create);
        var streams = new List<Stream>();
        try
        {
            Dictionary<string, string> later = Later();
            string[] whole = [.. paths.Except(later.Values)];
            using TraceWriter writer = create(TraceMerger.HeaderOf([.. paths.Select(path => Open(path, null).Header)]));
            TraceMerger.Merge(
                [.. whole.Select(path => new Func<TraceReader>(() => Open(path, later.GetValueOrDefault(path))))], writer);
            writer.Complete();
        }
        finally
        {
            streams.ForEach(stream => stream.Dispose());
        }

        // By the trace of a lost node the one that goes on with it.
        Dictionary<string, string> Later()
        {
            var later = new Dictionary<string, string>(StringComparer.Ordinal);
            foreach (string path in lost)
            {
                int? node = FirstNode(path);
                if (node is not null
                    && paths.FirstOrDefault(p => !lost.Contains(p) && FirstNode(p) == node) is { } more)
                {
                    later[path] = more;
                }
            }

            return later;
        }

        int? FirstNode(string path) => Open(path, null).TryRead(out TraceEvent first) ? first.Node : null;

        TraceReader Open(string path, string? later)
        {
            try
            {
                streams.Add(lost.Contains(path) ? EndWithFailure(path, later) : File.OpenRead(path));
                return TraceReader.Open(streams[^1]);
            }
            catch (TraceException e)
            {
                throw new TraceException($"{path}: {e.Message}", e);
            }
        }
    }

    /// <summary>A file that is there until it is closed.</summary>
    /// <exception cref="IOException">It cannot be made.</exception>
    public static FileStream Temporary() => new(
        Path.GetTempFileName(), FileMode.Create, FileAccess.ReadWrite, FileShare.None, 1 << 16, FileOptions.DeleteOnClose);

    // A copy up to where the trace is cut, with the node's failure, what came later, and the end behind it.
    private static FileStream EndWithFailure(string path, string? later)
    {
        using FileStream input = File.OpenRead(path);
        TraceReader reader = TraceReader.Open(input);
        FileStream copy = Temporary();
        try
        {
            using TraceWriter writer = TraceWriter.Create(copy, reader.Header);
            int node = -1;
            long ordinal = 0;
            bool cut = false;
            try
            {
                while (reader.TryRead(out TraceEvent item))
                {
                    node = item.Node;
                    ordinal = item.Kind == TraceEventKind.Rollback ? item.Ordinal : ordinal + (item.IsCheckpoint ? 1 : 0);
                    writer.Write(item);
                }
            }
            catch (TraceException) when (node >= 0 && reader is BinaryTraceReader { IsBetweenBlocks: true })
            {
                cut = true;
            }

            using FileStream? more = later is null ? null : File.OpenRead(later);
            TraceReader? rest = more is null ? null : TraceReader.Open(more);
            TraceEvent next = default;
            bool has = rest?.TryRead(out next) == true;

            // A process of it may have been killed between the saving of a checkpoint and the note of it, also where a later one ended well.
            if (has && next.Kind == TraceEventKind.Rollback && next.Ordinal == ordinal + 1)
            {
                writer.Write(TraceEvent.Checkpoint(TraceEventKind.Other, node, next.Index));
            }

            if (cut)
            {
                writer.Write(TraceEvent.Failure(node));
            }

            for (; has; has = rest!.TryRead(out next))
            {
                writer.Write(next);
            }

            writer.Complete();
            copy.Position = 0;
            return copy;
        }
        catch
        {
            copy.Dispose();
            throw;
        }
    }
}
