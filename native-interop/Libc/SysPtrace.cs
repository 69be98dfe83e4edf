using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Libc;

/// <summary><c>sys/ptrace.h</c> of glibc.</summary>
[CHeader("sys/ptrace.h")]
internal static partial class SysPtrace
{
    [CConstant] internal const uint PTRACE_GETREGS = 12;
    [CConstant] internal const uint PTRACE_DETACH = 17;
    [CConstant] internal const uint PTRACE_SEIZE = 0x4206;
    [CConstant] internal const uint PTRACE_INTERRUPT = 0x4207;

    /// <summary>Attaches to a thread, stops it, lets it go. Returns 0, or -1 with errno set. Only the thread that attached
    /// may go on; when it ends, the kernel lets go what it had attached to.</summary>
    [NotInC("Variadic. On x86-64 integers and pointers in the variable part are passed as in a fixed one; glibc reads three.")]
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial nint ptrace(uint request, int pid, nint addr, nint data);

    /// <summary>The same with a block of memory that the request fills.</summary>
    [NotInC("Variadic. On x86-64 integers and pointers in the variable part are passed as in a fixed one; glibc reads three.")]
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial nint ptrace(uint request, int pid, nint addr, ref byte data);
}

/// <summary><c>sys/user.h</c> of glibc (x86-64): registers of a thread.</summary>
[CHeader("sys/user.h")]
internal static class SysUser
{
    [CConstant("sizeof(struct user_regs_struct)")] internal const int RegistersLength = 216;

    /// <summary>What a call returns; negative for an error.</summary>
    [CConstant("__builtin_offsetof(struct user_regs_struct, rax)")] internal const int ResultOffset = 80;

    /// <summary>The number of the call that a thread is in, or has just left; -1 for none.</summary>
    [CConstant("__builtin_offsetof(struct user_regs_struct, orig_rax)")] internal const int CallOffset = 120;
}

/// <summary><c>sys/syscall.h</c> of Linux x86-64: calls in which a thread waits for something to do.</summary>
[CHeader("sys/syscall.h")]
internal static class SysSyscall
{
    [CConstant] internal const int SYS_read = 0;
    [CConstant] internal const int SYS_poll = 7;
    [CConstant] internal const int SYS_select = 23;
    [CConstant] internal const int SYS_nanosleep = 35;
    [CConstant] internal const int SYS_accept = 43;
    [CConstant] internal const int SYS_recvfrom = 45;
    [CConstant] internal const int SYS_recvmsg = 47;
    [CConstant] internal const int SYS_wait4 = 61;
    [CConstant] internal const int SYS_rt_sigtimedwait = 128;
    [CConstant] internal const int SYS_futex = 202;
    [CConstant] internal const int SYS_restart_syscall = 219;
    [CConstant] internal const int SYS_clock_nanosleep = 230;
    [CConstant] internal const int SYS_epoll_wait = 232;
    [CConstant] internal const int SYS_pselect6 = 270;
    [CConstant] internal const int SYS_ppoll = 271;
    [CConstant] internal const int SYS_epoll_pwait = 281;
    [CConstant] internal const int SYS_io_uring_enter = 426;
}
