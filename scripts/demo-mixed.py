#!/usr/bin/env python3
"""Judges what scripts/demo-mixed.sh has collected: which guests each checkpoint covers, which it names, and the pauses."""

import argparse
import json
import re
import statistics
import sys


def stretches(folder):
    """The stretches of the run, as (name, numbers of its first checkpoint and of the one behind its last)."""
    with open(f"{folder}/stretches", encoding="utf-8") as file:
        return [(name, int(first), int(end)) for name, first, end in (line.split() for line in file)]


def events(folder):
    with open(f"{folder}/events", encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def reports(folder):
    """What the daemon has told of the checkpoints, in their order."""
    return [e["checkpointTaken"] for e in events(folder) if "checkpointTaken" in e]


def manifests(folder):
    with open(f"{folder}/checkpoints", encoding="utf-8") as file:
        return {m["id"]: m for m in json.load(file)}


def pause_ms(report):
    return float(report["pause"].removesuffix("s")) * 1000


def covers(manifest, covered, others):
    """What is wrong with the guests of a checkpoint, or None."""
    has = sorted(d["name"] for d in manifest["domains"])
    named = {d["name"]: d["reason"] for d in manifest["leftOut"]}
    if has != sorted(covered):
        return f"covers {has}"
    if named != others:
        return f"names {named}"
    return None


def failures(folder):
    return [e["checkpointFailed"] for e in events(folder) if "checkpointFailed" in e]


def checkpoints(arguments):
    others = dict(other.split("=") for other in arguments.others)
    known, told = manifests(arguments.folder), reports(arguments.folder)
    wrong, pauses, count = [], {"with": [], "without": []}, {"with": 0, "without": 0}
    for name, first, end in stretches(arguments.folder):
        for report in told[first:end]:
            count[name] += 1
            pauses[name].append(pause_ms(report))
            problem = covers(known[report["id"]], arguments.covered, others if name == "with" else {})
            if problem:
                wrong.append(f"checkpoint {report['index']} ({name} the others) {problem}")
    for failed in failures(arguments.folder):
        wrong.append(f"a checkpoint did not come about: {failed}")
    if not count["with"] or not count["without"]:
        wrong.append(f"there are {count['with']} checkpoints with the others and {count['without']} without")
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"each of {count['with']} checkpoints covers {', '.join(arguments.covered)}")
    for guest, reason in others.items():
        print(f"each of {count['with']} checkpoints names {guest} as left out: {reason}")
    with_ms, without_ms = (statistics.median(pauses[name]) for name in ("with", "without"))
    print(
        f"median pause: {with_ms:.1f} ms with them ({count['with']} checkpoints), {without_ms:.1f} ms without"
        f" ({count['without']} checkpoints); ratio {with_ms / without_ms:.2f}")


def last(arguments):
    told = reports(arguments.folder)
    print(next(told[end - 1]["id"] for name, _, end in stretches(arguments.folder) if name == "with"))


def steps(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        text = file.read().replace("\r", "")
    if "BROKEN" in text or "ended with exit code" in text:
        sys.exit(f"{path}: the guest is broken, or has ended")
    return [(int(n), h) for n, h in re.findall(r"^step (\d+) hash ([0-9a-f]{16}) ", text, re.MULTILINE)]


def restored(arguments):
    """A guest that was restored goes on from a step that it has run before, with the hashes that it had then."""
    before, after = dict(steps(arguments.before)), steps(arguments.after)
    if len(after) < 5:
        sys.exit(f"{arguments.guest} does not go on")
    again = [(n, h) for n, h in after if n in before]
    if not again or any(before[n] != h for n, h in again):
        sys.exit(f"{arguments.guest} goes on at step {after[0][0]}, which is none of its past")
    print(f"{arguments.guest} was at step {max(before)}, goes on from step {after[0][0]}, is at {after[-1][0]} now, and whole")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("checkpoints")
    command.add_argument("folder")
    command.add_argument("--covered", nargs="+", required=True)
    command.add_argument("--others", nargs="+", required=True, metavar="GUEST=REASON")
    command.set_defaults(run=checkpoints)
    command = commands.add_parser("last")
    command.add_argument("folder")
    command.set_defaults(run=last)
    command = commands.add_parser("restored")
    command.add_argument("guest")
    command.add_argument("before")
    command.add_argument("after")
    command.set_defaults(run=restored)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
