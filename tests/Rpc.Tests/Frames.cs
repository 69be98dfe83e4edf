using System.Buffers;
using System.IO.Pipelines;
using Google.Protobuf;

namespace XenTwoLevelCkpt.Rpc.Tests;

/// <summary>Messages as bytes, and bytes in parts.</summary>
internal static class Frames
{
    internal static byte[] Of<T>(params T[] messages)
        where T : class, IMessage<T>, new()
    {
        var output = new ArrayBufferWriter<byte>();
        foreach (T message in messages)
        {
            // Written out, so that this does not prove the writer by itself.
            byte[] octets = message.ToByteArray();
            output.Write((ReadOnlySpan<byte>)[
                0, (byte)(octets.Length >> 24), (byte)(octets.Length >> 16), (byte)(octets.Length >> 8), (byte)octets.Length]);
            output.Write(octets);
        }

        return output.WrittenSpan.ToArray();
    }

    internal static async Task<List<Note>> ReadAsync(IEnumerable<byte[]> parts, int limit)
    {
        var pipe = new Pipe(new PipeOptions(pauseWriterThreshold: 0, minimumSegmentSize: 1));
        var reader = new PipeMessageReader<Note>(pipe.Reader, limit, null, StatusCode.Unimplemented);
        List<Note> notes = [];
        Task reading = Task.Run(async () =>
        {
            while (await reader.ReadAsync(default) is { } note)
            {
                notes.Add(note);
            }
        });
        foreach (byte[] part in parts)
        {
            _ = await pipe.Writer.WriteAsync(part);
            await Task.Yield();
        }

        await pipe.Writer.CompleteAsync();
        await reading.WaitAsync(TestHost.Patience);
        return notes;
    }

    internal static List<byte[]> Split(byte[] octets, Random random)
    {
        List<byte[]> parts = [];
        for (int at = 0; at < octets.Length;)
        {
            int length = Math.Min(random.Next(1, random.Next(2, 300)), octets.Length - at);
            parts.Add(octets[at..(at + length)]);
            at += length;
        }

        return parts;
    }

    internal static ReadOnlySequence<byte> Sequence(params IReadOnlyList<byte[]> parts)
    {
        var first = new Segment(parts[0], 0);
        Segment last = first;
        foreach (byte[] part in parts.Skip(1))
        {
            last = last.Append(part);
        }

        return new ReadOnlySequence<byte>(first, 0, last, last.Memory.Length);
    }

    private sealed class Segment : ReadOnlySequenceSegment<byte>
    {
        internal Segment(byte[] octets, long index)
        {
            Memory = octets;
            RunningIndex = index;
        }

        internal Segment Append(byte[] octets)
        {
            var next = new Segment(octets, RunningIndex + Memory.Length);
            Next = next;
            return next;
        }
    }
}

/// <summary>A pipe that has all its bytes from the start.</summary>
internal sealed class FixedPipe(ReadOnlySequence<byte> rest) : PipeReader
{
    private ReadOnlySequence<byte> _rest = rest;

    public override void AdvanceTo(SequencePosition consumed) => _rest = _rest.Slice(consumed);

    public override void AdvanceTo(SequencePosition consumed, SequencePosition examined) => _rest = _rest.Slice(consumed);

    public override void CancelPendingRead()
    {
    }

    public override void Complete(Exception? exception = null)
    {
    }

    public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default) =>
        new(new ReadResult(_rest, isCanceled: false, isCompleted: true));

    public override bool TryRead(out ReadResult result)
    {
        result = new ReadResult(_rest, isCanceled: false, isCompleted: true);
        return true;
    }
}

/// <summary>A pipe that forgets what is written to it.</summary>
internal sealed class SinkPipe : PipeWriter
{
    private readonly byte[] _buffer = new byte[4096];

    public override void Advance(int bytes)
    {
    }

    public override void CancelPendingFlush()
    {
    }

    public override void Complete(Exception? exception = null)
    {
    }

    public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default) => new(new FlushResult());

    public override Memory<byte> GetMemory(int sizeHint = 0) => _buffer;

    public override Span<byte> GetSpan(int sizeHint = 0) => _buffer;
}
