using System.Buffers;

namespace XenTwoLevelCkpt.Rpc;

/// <summary>A message that can be taken from its octets without protobuf's parser, into memory of the shared pool.</summary>
internal interface IPooledParsing
{
    /// <summary>Takes the usual form of the message into this one, which is empty.</summary>
    /// <param name="octets">The message.</param>
    /// <returns>False for any other form, and for octets that are wrong: then protobuf's parser judges, and this object
    /// is not used.</returns>
    bool TryParse(in ReadOnlySequence<byte> octets);
}
