"""The ratio of two ways of frames that were measured in turn: files START.TURN.WAY.tcp (iperf3's JSON), .cpu (seconds) and, where
round trips were measured, .rr (microseconds).

usage: bench-channel-pairs.py FOLDER FIRST JSON

The ratios are those of the way 'daemon' over FIRST.
"""

import json
import math
import pathlib
import statistics
import sys

# Student's t for a two-sided 95% interval, by degrees of freedom; beyond 30 it is that of the normal distribution.
T95 = [math.nan, 12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
       2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042]


def read(folder, way):
    """By start and turn: Mb/s, processor seconds a GiB, and the median round trip or None."""
    figures = {}
    for path in folder.glob(f"*.*.{way}.tcp"):
        try:
            received = json.loads(path.read_text())["end"]["sum_received"]
        except (ValueError, KeyError):
            continue
        if received["bytes"] > 0:
            start, turn, _, _ = path.name.split(".")
            cpu = float(path.with_suffix(".cpu").read_text())
            trips = path.with_suffix(".rr")
            trip = float(trips.read_text().split()[0]) if trips.exists() and trips.read_text() else None
            figures[int(start), int(turn)] = received["bits_per_second"] / 1e6, cpu / received["bytes"] * 2**30, trip
    return figures


def main(folder, first, out):
    bare, daemon = (read(pathlib.Path(folder), way) for way in (first, "daemon"))
    both = sorted(bare.keys() & daemon.keys())
    result = {"pairs": len(both)}
    for place, name in enumerate(("throughput", "cpuPerGibibyte", "roundTrip")):
        if any(way[key][place] is None for way in (bare, daemon) for key in both):
            continue
        # One start is one sample: what a process has compiled differs from start to start, and stays for its turns.
        logs = {}
        for key in both:
            logs.setdefault(key[0], []).append(math.log(daemon[key][place] / bare[key][place]))
        means = [statistics.mean(values) for values in logs.values()]
        if len(means) < 2:
            sys.exit("bench channel: fewer than two starts were measured to their end")
        t = T95[len(means) - 1] if len(means) <= len(T95) else 1.96
        half = t * statistics.stdev(means) / math.sqrt(len(means))
        middle = statistics.mean(means)
        result[name] = {
            f"{first}Median": statistics.median(bare[key][place] for key in both),
            "daemonMedian": statistics.median(daemon[key][place] for key in both),
            "ratio": math.exp(middle), "low": math.exp(middle - half), "high": math.exp(middle + half), "starts": len(means),
        }
        print(f"{name:16} {first} {result[name][f'{first}Median']:10.2f}  daemon {result[name]['daemonMedian']:10.2f}  "
              f"ratio {math.exp(middle):.4f}  95% interval {math.exp(middle - half):.4f} to {math.exp(middle + half):.4f}  "
              f"({len(means)} starts, {len(both)} pairs)")
    pathlib.Path(out).write_text(json.dumps(result, indent=2) + "\n")


main(*sys.argv[1:])
