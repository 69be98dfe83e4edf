using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace XenTwoLevelCkpt.Benchmarks.Channel;

/// <summary>Requests and responses of one octet over TCP, one at a time.</summary>
internal static class RoundTrips
{
    private const int MostTrips = 1 << 20;

    // What runs before the measurement: code is compiled, caches and neighbours are known.
    private const int WarmUp = 200;

    /// <summary>Answers each octet with itself, to one client after the other, until the process is ended.</summary>
    internal static void Serve(IPEndPoint endPoint)
    {
        using var listener = new TcpListener(endPoint);
        listener.Start();
        while (true)
        {
            using Socket client = listener.AcceptSocket();
            client.NoDelay = true;
            byte[] octet = new byte[1];
            try
            {
                while (client.Receive(octet) == 1)
                {
                    _ = client.Send(octet);
                }
            }
            catch (SocketException)
            {
                // The next one.
            }
        }
    }

    /// <summary>Asks for so long, and prints the median and the 99th percentile in microseconds, and how many there were.
    /// </summary>
    internal static void Ask(IPEndPoint endPoint, TimeSpan duration)
    {
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        socket.Connect(endPoint);
        byte[] octet = new byte[1];
        double[] trips = new double[MostTrips];
        int taken = -WarmUp;
        for (long begin = Stopwatch.GetTimestamp(); taken < 1 || (taken < MostTrips && Stopwatch.GetElapsedTime(begin) < duration); taken++)
        {
            long sent = Stopwatch.GetTimestamp();
            _ = socket.Send(octet);
            if (socket.Receive(octet) != 1)
            {
                throw new IOException("The other side has gone.");
            }

            if (taken >= 0)
            {
                trips[taken] = Stopwatch.GetElapsedTime(sent).TotalMicroseconds;
            }
        }

        Array.Sort(trips, 0, taken);
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture, $"{trips[taken / 2]:F1} {trips[taken * 99L / 100]:F1} {taken}"));
    }
}
