namespace XenTwoLevelCkpt.Channels;

/// <summary>The thread that reads the uplink.</summary>
/// <param name="uplink">The local guests.</param>
/// <param name="turn">Reads some frames.</param>
/// <param name="failed">Learns that the uplink is broken; nothing more is read.</param>
internal sealed class FramePump(IUplink uplink, Func<FrameTurn> turn, Action<IOException> failed) : IDisposable
{
    private static readonly TimeSpan IdleWait = TimeSpan.FromSeconds(1);

    private readonly AutoResetEvent _room = new(initialState: false);
    private Thread? _thread;
    private volatile bool _stopping;

    internal void Start()
    {
        _thread = new Thread(Run) { IsBackground = true, Name = "uplink" };
        _thread.Start();
    }

    /// <summary>What waits for room is looked at again; the thread may be in either wait.</summary>
    internal void Wake()
    {
        _ = _room.Set();
        uplink.Wake();
    }

    /// <summary>Reads no more; <see cref="Dispose"/> waits for the end.</summary>
    internal void Stop()
    {
        _stopping = true;
        Wake();
    }

    public void Dispose()
    {
        Stop();
        _thread?.Join();
        _room.Dispose();
    }

    private void Run()
    {
        try
        {
            while (!_stopping)
            {
                switch (turn())
                {
                    case FrameTurn.Idle:
                        _ = uplink.Wait(IdleWait);
                        break;
                    case FrameTurn.Blocked:
                        _ = _room.WaitOne(IdleWait);
                        break;
                    default:
                        break;
                }
            }
        }
        catch (IOException e)
        {
            failed(e);
        }
    }
}
