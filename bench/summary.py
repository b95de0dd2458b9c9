#!/usr/bin/env python3
"""Turns the JSON lines of `belfry-bench --json` into the files of a run: NAME.json with a description of the
machine, a table NAME.md, and plots NAME-*.svg if there is matplotlib. NAME is that of the machine."""
import argparse
import datetime
import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
DETAILS = {  # values beside the main one, by their keys
    "p99": "99th percentile",
    "p999": "99.9th percentile",
    "cpu": "seconds of processor time per million messages: the receiver's, and the sender's for sending",
    "wake-ups": "wake-ups of the receiver per message",
}
NOT_KEYS = {"case", "unit", "belfry", "peers", "curve", "skipped", *DETAILS}


# ---- the machine ---------------------------------------------------------------------------------


def cpu_model():
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    except OSError:
        found = None
    return found.group(1).strip() if found else platform.machine()


def slug(text):
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((r|tm)\)", "", text.lower())).strip("-")


def commit():
    def git(*arguments):
        done = subprocess.run(["git", "-C", TOP, *arguments], capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else None

    try:
        head = git("rev-parse", "--short=12", "HEAD")
        changed = git("status", "--porcelain", "--", ":!bench/results")
    except OSError:
        return None
    return head + "+changes" if head and changed else head


def describe_machine(name, compiler):
    cores = len(os.sched_getaffinity(0))
    cpu = cpu_model()
    return {
        "machine": name or f"{slug(cpu)}-{cores}-core" + ("s" if cores != 1 else ""),
        "cpu": cpu,
        "cores": cores,
        "kernel": f"{platform.system()} {platform.release()}",
        "compiler": f"GCC {compiler}" if compiler and compiler[0].isdigit() else compiler,
        "commit": commit(),
        "date": datetime.date.today().isoformat(),
    }


# ---- the table -----------------------------------------------------------------------------------


def number(value):
    if value is None:
        return "missing"
    for limit, suffix in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if abs(value) >= limit:
            return f"{value / (1e3 if limit == 1e4 else limit):.3g}{suffix}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def ratio(ours, theirs):
    if not ours or not theirs:
        return number(theirs)
    return f"{number(theirs)} ({ours / theirs:.2g} x)"


def about(result):
    return {k: v for k, v in result.items() if k not in NOT_KEYS}


def label(result):
    """What a line is about, if the case has several."""
    words = {"bytes": "{:,} bytes", "channels": "{:,} channels", "rate": "{:,} a second"}

    def said(key, value):
        return value if isinstance(value, str) else words.get(key, key + " {}").format(value)

    return ", ".join(said(k, v) for k, v in about(result).items())


def table(results, values):
    """`values` returns Belfry's and the peers' values of a result."""
    peers = list(dict.fromkeys(p for r in results for p in r["peers"]))
    yield "| " + " | ".join(["", "Belfry", *peers]) + " |"
    yield "|---" * (len(peers) + 2) + "|"
    for r in results:
        ours, theirs = values(r)
        cells = ["skipped: " + r["skipped"] if "skipped" in r else number(ours)]
        cells += [ratio(ours, theirs[p]) if p in theirs else "" for p in peers]
        yield "| " + " | ".join([label(r), *cells]) + " |"


def detail(key):
    def values(result):
        of_all = dict(result.get(key, {}))
        return of_all.pop("belfry", None), of_all

    return values


def markdown(machine, results):
    yield f"# {machine['machine']}"
    yield ""
    yield "; ".join(f"{k}: {v}" for k, v in machine.items() if k != "machine" and v) + "."
    yield "In brackets: how many times the peer's figure Belfry's is. Every process is kept on one processor,"
    yield "and so are the threads that a peer has of its own. What tries or polls never sleeps."
    missing = sorted({p for r in results for p, value in r["peers"].items() if value is None})
    if missing:
        yield "Missing, as they are not there or have failed: " + ", ".join(missing) + "."
    cases = {}
    for r in results:
        cases.setdefault((r["case"], r["unit"]), []).append(r)
    for (case, unit), of_case in cases.items():
        better = "more" if unit.endswith("/s") else "less"
        yield f"\n## {case}\n\n{unit}, {better} is better\n"
        yield from table(of_case, lambda r: (r["belfry"], r["peers"]))
        for key, meaning in DETAILS.items():
            with_it = [r for r in of_case if key in r]
            if with_it:
                yield f"\n{meaning}\n"
                yield from table(with_it, detail(key))


# ---- the plots -----------------------------------------------------------------------------------


def draw_latency(plt, results):
    """Percentiles of open loads, a plot per rate."""
    results = [r for r in results if "curve" in r]
    rates = sorted({r["rate"] for r in results})
    if not rates:
        return None
    figure, axes = plt.subplots(2, (len(rates) + 1) // 2, figsize=(13, 10), squeeze=False)
    for unused in axes.flat[len(rates):]:
        unused.remove()
    for rate, ax in zip(rates, axes.flat):
        of_rate = [r for r in results if r["rate"] == rate]
        for r in of_rate:
            draw_curve(ax, r["curve"]["belfry"], "belfry, " + r["how"], "-")
        for peer, points in of_rate[0]["curve"].items():
            if peer != "belfry":
                draw_curve(ax, points, peer, "--")
        ticks = [50, 90, 99, 99.9, 99.99]
        ax.set(xscale="log", yscale="log", title=f"{rate:,} messages a second",
               xlabel="percentile", ylabel="µs from when it was due")
        ax.set_xticks([tail(p) for p in ticks], [f"{p:g}" for p in ticks])
        ax.minorticks_off()
    axes.flat[0].legend(fontsize=8)
    return figure


def tail(percentile):
    return 100 / (100 - percentile)


def draw_curve(ax, points, name, style):
    if points:
        ax.plot([tail(p) for p, _ in points], [v for _, v in points], style, label=name)


def draw_throughput(plt, results):
    """Messages per second, against their size."""
    lines = {}
    for r in results:
        if not re.fullmatch(r"stream-\d+", r["case"]):
            continue
        for peer, value in r["peers"].items():
            lines.setdefault((peer, "--"), {})[r["bytes"]] = value
        name = ", ".join(str(v) for k, v in about(r).items() if k != "bytes")
        lines.setdefault(("belfry, " + name, "o-"), {})[r["bytes"]] = r["belfry"]
    return draw_lines(plt, lines, "log", "bytes a message", "messages a second")


def draw_channels(plt, results):
    """The time of a round trip, and of setting up a channel, by the number of channels."""
    lines = {}
    for r in results:
        if r["case"] == "many":
            lines.setdefault(("belfry, round trip", "o-"), {})[r["channels"]] = r["belfry"]
            for peer, value in r["peers"].items():
                if not peer.startswith("belfry"):
                    lines.setdefault((peer + ", round trip", "--"), {})[r["channels"]] = value
        elif r["case"] == "many-setup":
            lines.setdefault(("belfry, " + r["of"], "s:"), {})[r["channels"]] = r["belfry"]
    return draw_lines(plt, lines, "linear", "channels in one io_context", "µs")


def draw_lines(plt, lines, yscale, xlabel, ylabel):
    """`lines`: y by x, for each name and style."""
    lines = {of: {x: y for x, y in sorted(points.items()) if y} for of, points in lines.items()}
    if not any(lines.values()):
        return None
    figure, ax = plt.subplots(figsize=(10, 7))
    # If there are more lines than colours, the marks or dashes differ.
    colours = plt.get_cmap("tab10").colors
    drawn = {}
    for (name, style), points in lines.items():
        if not points:
            continue
        nth = drawn[style] = drawn.get(style, -1) + 1
        mark, dashes = (style[0], style[1]) if style[0] != "-" else ("", style)
        if mark == "o":
            mark = "osD^v"[nth % 5]
        elif not mark and nth >= len(colours):
            dashes = ":"
        ax.plot(list(points), list(points.values()), color=colours[nth % len(colours)],
                marker=mark, linestyle=dashes, label=name)
    ax.set(xscale="log", yscale=yscale, xlabel=xlabel, ylabel=ylabel)
    if yscale == "linear":
        ax.set_ylim(bottom=0)
    xs = sorted({x for points in lines.values() for x in points})
    ax.set_xticks(xs, [f"{x:,}" for x in xs], rotation=45)
    ax.minorticks_off()
    ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def draw_all(stem, results):
    try:
        import matplotlib
    except ImportError:
        print("no plots: there is no matplotlib for", sys.executable, file=sys.stderr)
        return
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "belfry"  # the same figures give the same file
    import matplotlib.pyplot as plt

    for name, draw in (("latency", draw_latency), ("throughput", draw_throughput),
                       ("channels", draw_channels)):
        figure = draw(plt, results)
        if figure is not None:
            figure.tight_layout()
            figure.savefig(f"{stem}-{name}.svg", metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lines", type=Path, help="what belfry-bench --json has printed")
    parser.add_argument("--machine", help="its name; else made of processor and number of cores")
    parser.add_argument("--compiler", help="what belfry-bench was built by")
    parser.add_argument("--into", type=Path, default=TOP / "bench/results", metavar="DIRECTORY")
    arguments = parser.parse_args()

    with arguments.lines.open(encoding="utf-8") as file:
        results = [json.loads(line) for line in file if line.strip()]
    machine = describe_machine(arguments.machine, arguments.compiler)
    arguments.into.mkdir(parents=True, exist_ok=True)
    stem = str(arguments.into / machine["machine"])
    lines = ",\n".join("  " + json.dumps(r, ensure_ascii=False) for r in results)
    head = json.dumps(machine, ensure_ascii=False, indent=1).removesuffix("\n}")
    Path(stem + ".json").write_text(f'{head},\n "results": [\n{lines}\n]}}\n', encoding="utf-8")
    Path(stem + ".md").write_text("\n".join(markdown(machine, results)) + "\n", encoding="utf-8")
    draw_all(stem, results)
    print(f"{stem}.md")


if __name__ == "__main__":
    main()
