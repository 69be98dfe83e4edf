"""Sets a run of a cluster beside what the simulator says of it: a part of scripts/bench-cluster.sh.

usage: bench-cluster.py XTLSIM FOLDER JSON SEEDS NAME...
"""
import collections
import datetime
import json
import pathlib
import statistics
import subprocess
import sys

xtlsim, folder, target, seeds, names = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5:]


def lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def reports(path):
    """The checkpoints of a node, of the documents one behind the other that 'xtlctl events --json' prints."""
    text, decoder, at, found = pathlib.Path(path).read_text(encoding="utf-8"), json.JSONDecoder(), 0, []
    while True:
        while at < len(text) and text[at].isspace():
            at += 1
        try:
            event, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError:
            # The end, or an event that the end of the daemon cut.
            return found
        if "checkpointTaken" in event:
            found.append(event["checkpointTaken"])


def counts(path):
    """Records of a trace by node and kind."""
    found = [collections.Counter() for _ in names]
    for record in lines(path):
        if "node" in record:
            found[record["node"]][record["type"]] += 1
    return found


def simulate(*options):
    trace = folder / "predicted.jsonl"
    subprocess.run([xtlsim, "run", "--vms", str(len(names)), "--vms-per-node", "1", "--trace", str(trace), *options, "--json"],
                   check=True, stdout=subprocess.DEVNULL)
    found = counts(trace)
    trace.unlink()
    return found


taken = [reports(folder / f"{name}.events") for name in names]
pauses = [[float(report["pause"].rstrip("s")) for report in node] for node in taken]
(folder / "phases").write_text("".join(json.dumps({"pauseMs": pause * 1000}) + "\n" for node in pauses for pause in node))
times = [datetime.datetime.fromisoformat(report["captured"].replace("Z", "+00:00")[:26].rstrip("+") + "+00:00")
         for node in taken for report in node]
duration = (max(times) - min(times)).total_seconds()
measured = counts(folder / "run.jsonl")
mean_pause = statistics.mean(pause for node in pauses for pause in node)

recorded = simulate("--from-trace", str(folder / "run.trace"), "--interval", "recorded")
sends = sum(node["send"] for node in measured)
basics = sum(node["basic"] for node in measured)
gap, interval = duration * len(names) / sends, duration * len(names) / basics
runs = [simulate("--gap", f"exponential:{gap:.6f}s", "--interval", f"jittered:{interval:.6f}s,0.2", "--phases",
                 str(folder / "phases"), "--duration", f"{duration:.3f}s", "--seed", str(seed)) for seed in range(1, seeds + 1)]

print(f"{duration:.1f} s, {sends} batches (one a node each {gap * 1000:.0f} ms), a basic checkpoint a node each {interval:.2f} s, "
      f"pauses of {mean_pause * 1000:.2f} ms")
columns = ("node", "basic", "forced", "recorded", "ratio", "parametric", "ratio", "lost ms", "recorded", "ratio", "parametric", "ratio")
print("  ".join(column.rjust(10) for column in columns))
rows = []


def row(name, basic, forced, by_trace, by_rate, rate_basic, lost):
    cells = {
        "node": name, "basic": basic, "forced": forced,
        "recorded_forced": by_trace, "recorded_ratio": forced / by_trace if by_trace else None,
        "parametric_forced": by_rate, "parametric_ratio": forced / by_rate if by_rate else None,
        "lost_ms": lost * 1000,
        "recorded_lost_ms": (basic + by_trace) * mean_pause * 1000,
        "parametric_lost_ms": (rate_basic + by_rate) * mean_pause * 1000,
    }
    cells["recorded_lost_ratio"] = cells["lost_ms"] / cells["recorded_lost_ms"]
    cells["parametric_lost_ratio"] = cells["lost_ms"] / cells["parametric_lost_ms"]
    rows.append(cells)
    order = ("node", "basic", "forced", "recorded_forced", "recorded_ratio", "parametric_forced", "parametric_ratio", "lost_ms",
             "recorded_lost_ms", "recorded_lost_ratio", "parametric_lost_ms", "parametric_lost_ratio")
    texts = ["-" if cells[key] is None else f"{cells[key]:.2f}" if isinstance(cells[key], float) else str(cells[key]) for key in order]
    print("  ".join(text.rjust(10) for text in texts))


of_rate = [{kind: statistics.mean(run[i][kind] for run in runs) for kind in ("basic", "forced")} for i in range(len(names))]
for i, name in enumerate(names):
    row(name, measured[i]["basic"], measured[i]["forced"], recorded[i]["forced"], of_rate[i]["forced"], of_rate[i]["basic"],
        sum(pauses[i]))
row("all", basics, sum(node["forced"] for node in measured), sum(node["forced"] for node in recorded),
    sum(node["forced"] for node in of_rate), sum(node["basic"] for node in of_rate), sum(map(sum, pauses)))
spread = [sum(node["forced"] for node in run) for run in runs]
print(f"forced checkpoints of the {seeds} parametric runs: {min(spread)} to {max(spread)}")
with open(target, "w", encoding="utf-8") as file:
    json.dump({"seconds": duration, "batches": sends, "gap_seconds": gap, "interval_seconds": interval, "mean_pause_ms": mean_pause * 1000,
               "nodes": rows}, file, indent=2)
print(f"also in {target}")
