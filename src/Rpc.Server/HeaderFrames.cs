using System.Buffers;
using System.Buffers.Binary;
using System.IO.Pipelines;

namespace XenTwoLevelCkpt.Rpc.Server;

/// <summary>Passes a client's octets of HTTP/2 on (RFC 9113), and gives <see cref="AuthorityLiteral"/> each header block that is
/// one frame. Others pass as they are: they are longer than a client's of gRPC.</summary>
internal sealed class HeaderFrames
{
    private const int FrameHeader = 9;
    private const byte Headers = 1;
    private const byte EndHeaders = 0x4;
    private const byte Padded = 0x8;
    private const byte Priority = 0x20;

    // A frame that Kestrel takes has at most 16 KiB where nothing else is agreed.
    private const int MostHeld = FrameHeader + (16 << 10);

    private static ReadOnlySpan<byte> Preface => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8;

    private readonly byte[] _held = new byte[MostHeld];
    private int _heldLength;
    private int _preface = Preface.Length;
    private int _passing;

    /// <summary>Takes what came.</summary>
    internal void Take(ReadOnlySpan<byte> octets, PipeWriter output)
    {
        Pass(ref octets, ref _preface, output);
        while (!octets.IsEmpty)
        {
            if (_passing > 0)
            {
                Pass(ref octets, ref _passing, output);
                continue;
            }

            if (!Hold(ref octets, FrameHeader))
            {
                return;
            }

            int length = (_held[0] << 16) | BinaryPrimitives.ReadUInt16BigEndian(_held.AsSpan(1));
            bool isBlock = _held[3] == Headers && (_held[4] & EndHeaders) != 0 && FrameHeader + length <= MostHeld;
            if (isBlock && !Hold(ref octets, FrameHeader + length))
            {
                return;
            }

            if (isBlock)
            {
                AuthorityLiteral.Mend(Block(_held.AsSpan(FrameHeader, length), _held[4]));
            }

            End(output);
            _passing = isBlock ? 0 : length;
        }
    }

    /// <summary>Passes on what is held of a frame that does not come to its end.</summary>
    internal void End(PipeWriter output)
    {
        output.Write(_held.AsSpan(0, _heldLength));
        _heldLength = 0;
    }

    private static void Pass(ref ReadOnlySpan<byte> octets, ref int left, PipeWriter output)
    {
        int length = Math.Min(octets.Length, left);
        output.Write(octets[..length]);
        octets = octets[length..];
        left -= length;
    }

    // True where as many octets are held.
    private bool Hold(ref ReadOnlySpan<byte> octets, int wanted)
    {
        int length = Math.Min(octets.Length, wanted - _heldLength);
        if (length > 0)
        {
            octets[..length].CopyTo(_held.AsSpan(_heldLength));
            octets = octets[length..];
            _heldLength += length;
        }

        return _heldLength >= wanted;
    }

    // The header block within a HEADERS frame (RFC 9113, section 6.2); empty where the frame is malformed.
    private static Span<byte> Block(Span<byte> payload, byte flags)
    {
        int front = ((flags & Padded) != 0 ? 1 : 0) + ((flags & Priority) != 0 ? 5 : 0);
        int back = (flags & Padded) != 0 && payload.Length > 0 ? payload[0] : 0;
        return front + back <= payload.Length ? payload[front..^back] : [];
    }
}
