using System.Buffers;
using System.Buffers.Binary;
using System.IO.Pipelines;
using FsCheck;
using FsCheck.Fluent;
using Google.Protobuf;
using Xunit;

namespace XenTwoLevelCkpt.Rpc.Tests;

/// <summary>Messages in a stream of bytes, however these arrive.</summary>
public class FrameTests
{
    private const int Limit = 1000;

    [Fact]
    public async Task Every_split_into_two_gives_the_same_messages()
    {
        Note[] notes = [new Note(), new Note { Text = "abc", Number = 300 }, new Note { Data = ByteString.CopyFrom(new byte[150]) }];
        byte[] octets = Frames.Of(notes);
        for (int at = 0; at <= octets.Length; at++)
        {
            Assert.Equal(notes, await Frames.ReadAsync([octets[..at], octets[at..]], Limit));
        }

        // One octet at a time.
        Assert.Equal(notes, await Frames.ReadAsync([.. octets.Select(o => new[] { o })], Limit));
    }

    [Fact]
    public async Task Every_split_of_one_buffer_gives_the_same_message()
    {
        byte[] octets = Frames.Of(new Note { Text = "abc", Number = 300 });
        for (int first = 0; first <= octets.Length; first++)
        {
            for (int second = first; second <= octets.Length; second++)
            {
                ReadOnlySequence<byte> buffer = Frames.Sequence(octets[..first], octets[first..second], octets[second..]);
                var pipe = new FixedPipe(buffer);
                var reader = new PipeMessageReader<Note>(pipe, Limit, null, StatusCode.Unimplemented);
                Assert.Equal("abc", (await reader.ReadAsync(default))!.Text);
                Assert.Null(await reader.ReadAsync(default));
            }
        }
    }

    [Fact]
    public void Any_messages_in_any_splits_arrive() => Check.One(
        Config.QuickThrowOnFailure.WithQuietOnSuccess(true),
        Prop.ForAll(
            (from lengths in Gen.Choose(0, Limit - 8).ArrayOf()
             from seed in Gen.Choose(0, int.MaxValue)
             select (lengths, seed)).ToArbitrary(),
            run =>
            {
                Note[] notes = [.. run.lengths.Select(n => new Note { Data = ByteString.CopyFrom(new byte[n]) })];
                byte[] octets = Frames.Of(notes);
                List<byte[]> parts = Frames.Split(octets, new Random(run.seed));
                Assert.Equal(notes, Frames.ReadAsync(parts, Limit).GetAwaiter().GetResult());
            }));

    [Fact]
    public async Task Every_cut_is_found()
    {
        byte[] octets = Frames.Of(new Note { Text = "abc" }, new Note { Text = "de" });
        int first = Frames.Of(new Note { Text = "abc" }).Length;
        for (int length = 0; length < octets.Length; length++)
        {
            byte[] cut = octets[..length];
            if (length == 0 || length == first)
            {
                Assert.Equal(length == 0 ? 0 : 1, (await Frames.ReadAsync([cut], Limit)).Count);
                continue;
            }

            StatusException e = await Assert.ThrowsAsync<StatusException>(() => Frames.ReadAsync([cut], Limit));
            Assert.Equal(StatusCode.Internal, e.Code);
        }
    }

    [Theory]
    [InlineData(0u, Limit + 1u, StatusCode.ResourceExhausted)]
    [InlineData(0u, 0x7FFFFFFFu, StatusCode.ResourceExhausted)]
    [InlineData(0u, 0x80000000u, StatusCode.ResourceExhausted)]
    [InlineData(0u, 0xFFFFFFFFu, StatusCode.ResourceExhausted)]
    [InlineData(1u, 3u, StatusCode.Internal)]
    [InlineData(2u, 3u, StatusCode.Internal)]
    [InlineData(255u, 0u, StatusCode.Internal)]
    public async Task A_header_is_judged_before_the_message_is_there(uint flag, uint length, StatusCode expected)
    {
        byte[] header = [(byte)flag, 0, 0, 0, 0];
        BinaryPrimitives.WriteUInt32BigEndian(header.AsSpan(1), length);
        var pipe = new Pipe();
        _ = await pipe.Writer.WriteAsync(header);
        var reader = new PipeMessageReader<Note>(pipe.Reader, Limit, null, StatusCode.Unimplemented);
        StatusException e = await StatusTests.FailsAsync(async () => await reader.ReadAsync(default));
        Assert.Equal(expected, e.Code);
        // What follows is not looked at.
        _ = await pipe.Writer.WriteAsync(Frames.Of(new Note()));
        Assert.Same(e, await StatusTests.FailsAsync(async () => await reader.ReadAsync(default)));
    }

    [Theory]
    [InlineData("gzip", StatusCode.Unimplemented)]
    [InlineData("identity", StatusCode.Internal)]
    [InlineData(null, StatusCode.Internal)]
    public async Task A_compressed_message_is_refused(string? encoding, StatusCode expected)
    {
        var pipe = new FixedPipe(new ReadOnlySequence<byte>([1, 0, 0, 0, 0]));
        var reader = new PipeMessageReader<Note>(pipe, Limit, encoding, StatusCode.Unimplemented);
        Assert.Equal(
            expected, (await Assert.ThrowsAsync<StatusException>(async () => await reader.ReadAsync(default))).Code);
    }

    [Fact]
    public async Task The_longest_message_is_taken_and_one_octet_more_is_not()
    {
        var note = new Note { Data = ByteString.CopyFrom(new byte[100]) };
        byte[] octets = Frames.Of(note);
        int length = note.CalculateSize();
        _ = Assert.Single(await Frames.ReadAsync([octets], length));
        _ = await Assert.ThrowsAsync<StatusException>(() => Frames.ReadAsync([octets], length - 1));
        var pipe = new Pipe();
        new PipeMessageWriter<Note>(pipe.Writer, length).Put(note);
        StatusException e = Assert.Throws<StatusException>(
            () => new PipeMessageWriter<Note>(pipe.Writer, length - 1).Put(note));
        Assert.Equal(StatusCode.ResourceExhausted, e.Code);
        Assert.Equal(octets.Length, pipe.Writer.UnflushedBytes);
    }

    [Fact]
    public async Task What_is_no_message_is_refused()
    {
        // A field of three octets, of which one is there.
        byte[] octets = [0, 0, 0, 0, 3, 0x0A, 3, 65];
        StatusException e = await Assert.ThrowsAsync<StatusException>(() => Frames.ReadAsync([octets], Limit));
        Assert.Equal(StatusCode.Internal, e.Code);
    }

    [Fact]
    public async Task Two_readers_at_a_time_are_a_mistake_that_harms_nothing()
    {
        var pipe = new Pipe();
        var reader = new PipeMessageReader<Note>(pipe.Reader, Limit, null, StatusCode.Unimplemented);
        ValueTask<Note?> first = reader.ReadAsync(default);
        _ = await Assert.ThrowsAsync<InvalidOperationException>(async () => await reader.ReadAsync(default));
        _ = await pipe.Writer.WriteAsync(Frames.Of(new Note { Number = 7 }));
        Assert.Equal(7, (await first)!.Number);
    }

    [Fact]
    public async Task A_message_costs_its_own_memory_and_nothing_else()
    {
        const int Count = 5000;
        var note = new Note { Text = "abc", Number = 5, Data = ByteString.CopyFrom(new byte[64]) };
        byte[] octets = Frames.Of(note);
        byte[] all = [.. Enumerable.Repeat(octets, Count).SelectMany(o => o)];
        var reader = new PipeMessageReader<Note>(
            new FixedPipe(new ReadOnlySequence<byte>(all)), Limit, null, StatusCode.Unimplemented);
        var payload = new ReadOnlySequence<byte>(octets.AsMemory(MessageFrame.HeaderSize));
        var writer = new PipeMessageWriter<Note>(new SinkPipe(), Limit);

        // What happens once, happens now.
        _ = await reader.ReadAsync(default);
        _ = Note.Parser.ParseFrom(payload);
        _ = await writer.WriteAsync(note, default);

        long start = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 1; i < Count; i++)
        {
            _ = Note.Parser.ParseFrom(payload);
        }

        long own = GC.GetAllocatedBytesForCurrentThread() - start;
        start = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 1; i < Count; i++)
        {
            // Never waits, so this stays on its thread.
            _ = await reader.ReadAsync(default);
        }

        long read = GC.GetAllocatedBytesForCurrentThread() - start;
        start = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 1; i < Count; i++)
        {
            _ = await writer.WriteAsync(note, default);
        }

        long written = GC.GetAllocatedBytesForCurrentThread() - start;
        // Less than one octet a message: nothing is allocated for each.
        Assert.InRange(read - own, -Count, Count);
        Assert.InRange(written, 0, Count);
    }
}
