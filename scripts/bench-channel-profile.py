"""Where the two daemons spend their time, of the stacks that 'perf script' prints: a part of scripts/bench-channel.sh.

usage: bench-channel-profile.py STACKS JSON
"""
import collections
import json
import pathlib
import re
import sys

# A sample belongs to the first line whose second pattern is in its stack, where the first one fits its innermost frame.
PARTS = [(name, re.compile(leaf), re.compile(stack)) for name, leaf, stack in (
    ("copies in the process", r"mem(move|cpy|set)", ""),
    ("tap, read", r"kernel|libc", r"tun_chr_read|tun_do_read"),
    ("tap, write, to the guest", r"kernel|libc", r"tun_chr_write|tun_get_user"),
    ("socket, send, over the wire", r"kernel|libc", r"sys_sendto|sys_sendmsg|libc_send"),
    ("socket, receive", r"kernel|libc", r"sys_recv|libc_recv"),
    ("waiting and waking", r"kernel|libc", r"futex|sched_yield|epoll|sys_poll|schedule|eventfd"),
    ("kernel, other", r"kernel", ""),
    ("channels and protocol", r"XenTwoLevelCkpt\.(Channels|Protocol|NativeInterop)", ""),
    ("gRPC", r"XenTwoLevelCkpt\.Rpc|Google\.Protobuf", ""),
    ("HTTP/2, pipes, sockets", r"Kestrel|AspNetCore|System\.Net|Pipelines|System\.Memory", ""),
    ("runtime: collector, compiler, stubs", r"libcoreclr|libclr|doublemapper|stub", ""),
    ("tasks and the thread pool", "", ""),
)]

counts, total = collections.Counter(), 0
for block in pathlib.Path(sys.argv[1]).read_text(encoding="utf-8", errors="replace").split("\n\n"):
    frames = block.strip("\n").split("\n")[1:]
    if not frames:
        continue
    stack = "\n".join(frames)
    counts[next(name for name, leaf, whole in PARTS if leaf.search(frames[0]) and whole.search(stack))] += 1
    total += 1
shares = {name: counts[name] / total for name, _, _ in PARTS} if total else {}
print(f"the daemons' processor time under TCP, {total} samples")
for name, share in sorted(shares.items(), key=lambda pair: -pair[1]):
    print(f"  {share * 100:5.1f}%  {name}")
pathlib.Path(sys.argv[2]).write_text(json.dumps({"samples": total, "shares": shares}, indent=2), encoding="utf-8")
