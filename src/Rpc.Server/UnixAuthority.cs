using System.IO.Pipelines;
using Microsoft.AspNetCore.Connections;

namespace XenTwoLevelCkpt.Rpc.Server;

/// <summary>Lets clients of a Unix domain socket in that send its path as :authority. gRPC's core does so since 1.57
/// ("%2Frun%2Fxtlckpt%2Fcontrol.sock"), and Go's and Java's libraries send the path as it is; Kestrel takes no host with '%' or
/// '/' in it, and has no option to. There is one server behind the socket, so nothing depends on the name.</summary>
/// <remarks>The filter exchanges single characters within the literal of the header block (RFC 7541, section 6.2), and nothing
/// else: no length changes, and so neither does what HPACK's dynamic tables on both sides hold on to.</remarks>
internal static class UnixAuthority
{
    /// <summary>Puts the filter before a connection's HTTP/2.</summary>
    internal static ConnectionDelegate Accept(ConnectionDelegate next) => async connection =>
    {
        IDuplexPipe wire = connection.Transport;
        var filtered = new Pipe(new PipeOptions(useSynchronizationContext: false));
        connection.Transport = new Wire(filtered.Reader, wire.Output);
        Task pumping = PumpAsync(wire.Input, filtered.Writer);
        try
        {
            await next(connection).ConfigureAwait(false);
        }
        finally
        {
            connection.Transport = wire;
            await filtered.Reader.CompleteAsync().ConfigureAwait(false);
            wire.Input.CancelPendingRead();
            await pumping.ConfigureAwait(false);
        }
    };

    private static async Task PumpAsync(PipeReader input, PipeWriter output)
    {
        var frames = new HeaderFrames();
        Exception? failure = null;
        try
        {
            while (true)
            {
                ReadResult read = await input.ReadAsync().ConfigureAwait(false);
                foreach (ReadOnlyMemory<byte> part in read.Buffer)
                {
                    frames.Take(part.Span, output);
                }

                input.AdvanceTo(read.Buffer.End);
                FlushResult flushed = await output.FlushAsync().ConfigureAwait(false);
                if (read.IsCanceled || read.IsCompleted || flushed.IsCompleted)
                {
                    break;
                }
            }
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException)
        {
            // The connection broke: HTTP/2 reads it.
            failure = e;
        }

        frames.End(output);
        await output.CompleteAsync(failure).ConfigureAwait(false);
    }

    private sealed record Wire(PipeReader Input, PipeWriter Output) : IDuplexPipe;
}
