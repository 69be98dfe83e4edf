using System.Globalization;
using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Libc;

namespace XenTwoLevelCkpt.NativeInterop.Files;

/// <summary>Another process, of which every thread stands still between two of its steps until this is disposed.</summary>
/// <remarks>By ptrace(2): when the thread that made this ends, in whatever way, the kernel lets the process go on. So it
/// has to be used by one thread, and disposed by it.</remarks>
public sealed class HeldProcess : IDisposable
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(1);

    // Calls in which a thread waits for something to do.
    private static readonly long[] WaitingCalls =
    [
        SysSyscall.SYS_read, SysSyscall.SYS_poll, SysSyscall.SYS_select, SysSyscall.SYS_nanosleep,
        SysSyscall.SYS_accept, SysSyscall.SYS_recvfrom, SysSyscall.SYS_recvmsg, SysSyscall.SYS_wait4,
        SysSyscall.SYS_rt_sigtimedwait, SysSyscall.SYS_futex, SysSyscall.SYS_restart_syscall,
        SysSyscall.SYS_clock_nanosleep, SysSyscall.SYS_epoll_wait, SysSyscall.SYS_pselect6, SysSyscall.SYS_ppoll,
        SysSyscall.SYS_epoll_pwait, SysSyscall.SYS_io_uring_enter,
    ];

    // What a call that was interrupted while it waited has in its result's place: EINTR, or one of ERESTARTSYS,
    // ERESTARTNOINTR, ERESTARTNOHAND and ERESTART_RESTARTBLOCK, which the kernel keeps to itself and to tracers
    // (include/linux/errno.h). A call that came to its end has something else there.
    private static readonly long[] Interrupted = [-Errno.EINTR, -512, -513, -514, -516];

    private readonly int _pid;
    private readonly int _thread = Environment.CurrentManagedThreadId;
    private readonly List<int> _held = [];

    private readonly long _deadline;

    private HeldProcess(int pid, long deadline)
    {
        _pid = pid;
        _deadline = deadline;
    }

    /// <summary>Holds a process at a moment when all of its threads wait for something to do: no request of its clients is
    /// half done.</summary>
    /// <param name="pid">The process.</param>
    /// <param name="timeout">How long such a moment is waited for.</param>
    /// <returns>The process, which goes on when this is disposed.</returns>
    /// <exception cref="IOException">It has ended, may not be traced, is traced by another program, or was always at work.
    /// </exception>
    public static HeldProcess WhenIdle(int pid, TimeSpan timeout)
    {
        long deadline = Environment.TickCount64 + (long)timeout.TotalMilliseconds;
        while (true)
        {
            var held = new HeldProcess(pid, deadline + (long)timeout.TotalMilliseconds);
            try
            {
                held.HoldAll();
                if (held.BusyThread() is not { } busy)
                {
                    return held;
                }

                if (Environment.TickCount64 > deadline)
                {
                    throw new IOException(
                        $"Process {pid} was at work for {timeout.TotalSeconds:F0} s, at last in call {busy}.");
                }
            }
            catch
            {
                held.Dispose();
                throw;
            }

            held.Dispose();
            Thread.Sleep(Pause);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_held.Count > 0 && Environment.CurrentManagedThreadId != _thread)
        {
            throw new InvalidOperationException("A process goes on by the thread that holds it.");
        }

        foreach (int thread in _held)
        {
            // Fails where the thread was killed meanwhile.
            _ = SysPtrace.ptrace(SysPtrace.PTRACE_DETACH, thread, 0, 0);
        }

        _held.Clear();
    }

    // Threads that run may make new ones: all are held when a look finds no other.
    private void HoldAll()
    {
        for (bool more = true; more;)
        {
            more = false;
            foreach (int thread in Threads())
            {
                if (!_held.Contains(thread) && Hold(thread))
                {
                    more = true;
                }
            }
        }
    }

    private bool Hold(int thread)
    {
        if (SysPtrace.ptrace(SysPtrace.PTRACE_SEIZE, thread, 0, 0) != 0)
        {
            int errno = Marshal.GetLastPInvokeError();
            return errno == Errno.ESRCH
                ? false
                : throw new IOException($"Process {_pid} could not be held: {Errno.Describe(errno)}.");
        }

        _held.Add(thread);
        if (SysPtrace.ptrace(SysPtrace.PTRACE_INTERRUPT, thread, 0, 0) != 0)
        {
            return true;
        }

        // It stops at the end of the call that it is in, or in the middle of one that waits; only then it has registers.
        // Not waitpid: where the process is a child of this one, the runtime may have waited for it first.
        Span<byte> registers = stackalloc byte[SysUser.RegistersLength];
        while (SysPtrace.ptrace(SysPtrace.PTRACE_GETREGS, thread, 0, ref registers[0]) != 0)
        {
            if (!Directory.Exists($"/proc/{_pid}/task/{thread}"))
            {
                break;
            }

            if (Environment.TickCount64 > _deadline)
            {
                throw new IOException($"Process {_pid} did not stop: a thread of it waits for a device.");
            }

            Thread.Sleep(0);
        }

        return true;
    }

    private int[] Threads()
    {
        try
        {
            return [.. Directory.EnumerateDirectories($"/proc/{_pid}/task")
                .Select(d => int.Parse(Path.GetFileName(d), CultureInfo.InvariantCulture))];
        }
        catch (DirectoryNotFoundException e)
        {
            throw new IOException($"Process {_pid} has ended.", e);
        }
    }

    // The call of a thread that does not wait for something to do, or null. -1: it is in none.
    private long? BusyThread()
    {
        Span<byte> registers = stackalloc byte[SysUser.RegistersLength];
        foreach (int thread in _held)
        {
            if (SysPtrace.ptrace(SysPtrace.PTRACE_GETREGS, thread, 0, ref registers[0]) != 0)
            {
                // The thread has ended.
                continue;
            }

            long call = MemoryMarshal.Read<long>(registers[SysUser.CallOffset..]);
            if (!WaitingCalls.Contains(call)
                || !Interrupted.Contains(MemoryMarshal.Read<long>(registers[SysUser.ResultOffset..])))
            {
                return call;
            }
        }

        return null;
    }
}
