#!/usr/bin/env python3
"""The tables of docs/scaling.md, from the constants, the model and the simulation.

benches/scaling/tables.py --write     # puts them between their markers
benches/scaling/tables.py             # fails if what stands there is something else
"""

import argparse
import dataclasses
import difflib
import pathlib
import sys

import model
import simulate
from constants import CONSTANTS
from model import Load, Machines

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "docs" / "scaling.md"
LAPTOP = Machines(servers=1)
THREE = Machines()
LEAST = dataclasses.replace(THREE, balancer="least")
LOADS = (
    ("a laptop", Load(20, 5, 20), LAPTOP),
    ("a team", Load(1_000, 50, 50), LAPTOP),
    ("a department", Load(10_000, 500, 200), THREE),
    ("a company", Load(50_000, 5_000, 1_000), THREE),
    ("a platform", Load(200_000, 10_000, 2_000), THREE),
    ("… least connections first", Load(200_000, 10_000, 2_000), LEAST),
    ("one job for everybody", Load(100_000, 1, 20), THREE),
    ("a million, 100 a job", Load(1_000_000, 10_000, 1_000), LEAST),
    ("a million, busier jobs", Load(1_000_000, 10_000, 5_000), LEAST),
    ("… 50,000 a gateway", Load(1_000_000, 10_000, 5_000), dataclasses.replace(LEAST, per_pod=50_000)),
    ("a million, one a job", Load(1_000_000, 1_000_000, 5_000), LEAST),
    ("a million, more events than that", Load(1_000_000, 100_000, 20_000), LEAST),
)
WINDOWS = ((100, 260), (1_000, 260), (5_000, 260), (1_000, 1_000), (1_000, 4_000))
SIMULATED = Load(1_000_000, 10_000, 1_000)
QUIET = Load(1_000_000, 1_000_000, 100)


def number(amount, digits=0):
    """With commas."""
    return f"{amount:,.{digits}f}"


def duration(seconds):
    """In milliseconds or seconds."""
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1e3:.0f} ms"


def table(head, rows):
    """Markdown."""
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(str(cell) for cell in row) + " |"


def constants():
    """Every constant."""

    def figure(constant):
        spread = f" ({constant.low:g} to {constant.high:g})" if constant.low is not None else ""
        return f"{constant.value:,g} {constant.unit}{spread}"

    return table(
        ("what", "figure", "known", "by"),
        (
            (
                constant.meaning,
                figure(constant),
                constant.known,
                f"`{constant.source}`" if constant.known == "measured" else constant.source,
            )
            for constant in CONSTANTS.values()
        ),
    )


def costs():
    """What costs what, as the model has it."""
    at = model.value

    def curve(prefix):
        known = sorted(model.curve(prefix).items())
        return " … ".join(f"{cost:g} µs at {number(rate)}/s" for rate, cost in known)

    connection = (
        f"{at('connection'):g} KB ({at('connection_tls'):g} with TLS) and {at('connection_kernel') / 1e3:.1f} KB"
    )
    rows = (
        ("a gateway's tail, watched or not", "R", curve("tail_pod")),
        ("waking workers", "R ÷ J × jobs watched here, J × (1 − (1 − 1/P)^(W/J))", curve("waking")),
        ("deliveries", "R ÷ J × W ÷ P", f"{at('delivery'):g} µs"),
        ("connections", "W ÷ P", f"{at('connection_idle'):g} µs/s; {connection} in the kernel"),
        ("the window", "R × seconds", f"{at('window_factor'):g} × the event's bytes + {at('window_overhead'):g}"),
        ("the broker: storing", "R", f"{curve('publish')}; three replicas: × {at('publish_factor'):g}"),
        ("the broker: tails", "R × P", f"{curve('tail_broker')}; in a cluster × {at('cluster_factor'):g}"),
        ("the broker: bytes out", "R × P", f"the event's bytes + {at('wire_overhead'):g}"),
        ("the broker: watchers that are live", "nothing", "0"),
        (
            "coming back, from the window",
            "who comes",
            f"{at('return'):g} µs, with TLS {at('return_tls'):g}; the broker: 0",
        ),
        ("… to a quiet job on a new pod", "who comes", f"the broker: {number(at('question'))} µs"),
        ("… below the window", "job and pod", f"the broker: {number(at('page'))} µs + {at('page_event'):g} each event"),
    )
    return table(("", "grows with", "each"), rows)


def sizes():
    """How many, how big."""

    def row(name, load, machines):
        head = (name, number(load.watchers), number(load.jobs), number(load.rate))
        plan = model.plan(load, machines)
        if "pods" not in plan:
            return (*head, f"not with one tail: {plan['partitions'] or 'over 1,024'} partitions") + ("",) * 7
        needs = plan["nats"]
        over = "" if plan["fits"] else f" **too much**: {plan['partitions'] or 'over 1,024'} partitions"
        return (
            *head,
            plan["pods"],
            number(plan["watchersPerPod"]),
            f"{sum(plan['cores'].values()):.2f}",
            f"{plan['coresAtPeak']:.2f}",
            f"{plan['memory'] / 2**30:.1f} GiB",
            f"{plan['window'] // 2**20} MiB",
            number(plan["maxConnections"]),
            f"{needs['cores']:.2f} cores, {needs['egressGbit']:.2f} Gbit/s, {needs['ceilingShare']:.0%}{over}",
        )

    return table(
        (
            "",
            "watchers",
            "jobs",
            "events/s",
            "gateways",
            "watchers each",
            "cores each",
            "… fullest",
            "memory limit",
            "`window`",
            "`max_connections`",
            "busiest NATS server",
        ),
        (row(*one) for one in LOADS),
    )


def windows():
    """What a window holds."""

    def row(rate, size):
        load = Load(1, 1, rate, size)
        budgets = [64, 128, 512, 2_048]
        return (
            number(rate),
            number(size),
            *(f"{number(model.window_seconds(load, budget * 2**20))} s" for budget in budgets),
        )

    return table(("events/s", "bytes", "64 MiB", "128 MiB", "512 MiB", "2 GiB"), (row(*one) for one in WINDOWS))


def limits():
    """Where one tail for each pod ends."""

    def row(pods):
        rate, name = model.most_rate(pods, THREE)
        big, big_name = model.most_rate(pods, THREE, size=4_000)
        return pods, f"{number(rate)} ({name})", f"{number(big)} ({big_name})"

    return table(
        ("gateways", "events/s of 260 bytes", "events/s of 4,000 bytes"),
        (row(pods) for pods in (2, 5, 10, 20, 50, 100, 200)),
    )


def break_even():
    """Watchers of a job for each pod, below which tails cost more than all the rest."""

    def row(rate):
        pod, broker = model.at("tail_pod", rate) * 1e6, model.at("tail_broker", rate) * 1e6
        return number(rate), f"{pod:.1f} µs", f"{broker:.1f} µs", f"{(pod + broker) / model.value('delivery'):.1f}"

    return table(
        ("events/s", "a pod's tail, an event", "the broker's part", "break-even: watchers of a job ÷ pods"),
        (row(rate) for rate in (200, 1_000, 2_000, 5_000, 10_000)),
    )


def ways():
    """Live events in four ways."""
    cases = (
        (1_000_000, 10_000, 5_000, 100),
        (1_000_000, 100_000, 5_000, 100),
        (1_000_000, 1_000_000, 5_000, 100),
        (1_000_000, 1_000_000, 20_000, 100),
        (100_000, 100_000, 1_000, 10),
    )
    for watchers, jobs, rate, pods in cases:
        load = Load(watchers, jobs, rate)
        found = model.alternatives(load, pods, 16)
        yield (
            number(watchers),
            number(jobs),
            number(rate),
            pods,
            *(f"{way['cores']:.1f} cores, {way['egressGbit']:.1f} Gbit/s" for way in found.values()),
        )


def alternatives():
    """The same as a table."""
    return table(
        (
            "watchers",
            "jobs",
            "events/s",
            "pods",
            "one tail each",
            "16 partitions, each pod those it watches",
            "16 partitions, watchers sent by job",
            "republish with chains",
        ),
        ways(),
    )


def republish():
    """From which rate republishing costs less."""

    def row(watchers, jobs, pods):
        froms = [model.republish_pays_from(watchers, jobs, pods, what) for what in ("cores", "egressGbit")]
        return (
            number(watchers),
            number(jobs),
            pods,
            f"{model.pods_of_a_job(Load(watchers, jobs, 1), pods):.1f}",
            *(f"{number(rate)} events/s" if rate else "never" for rate in froms),
        )

    cases = (
        (1_000_000, 1_000_000, 100),
        (1_000_000, 100_000, 100),
        (1_000_000, 10_000, 100),
        (1_000_000, 3_000, 100),
        (200_000, 200_000, 20),
        (200_000, 10_000, 20),
        (20_000, 20_000, 2),
    )
    return table(
        ("watchers", "jobs", "pods", "pods that watch a job", "fewer cores from", "less out of NATS from"),
        (row(*case) for case in cases),
    )


def restarts():
    """Rolling restarts of a hundred pods, simulated."""
    cases = (
        ("random", 1, SIMULATED, 600.0, False),
        ("least", 1, SIMULATED, 600.0, False),
        ("random", 25, SIMULATED, 600.0, False),
        ("least", 25, SIMULATED, 600.0, False),
        ("least", 25, SIMULATED, 600.0, True),
        ("least", 1, QUIET, 600.0, False),
        ("least", 25, QUIET, 600.0, False),
    )
    for balancer, surge, load, window, tls in cases:
        run = simulate.restart(
            dataclasses.replace(load, tls=tls),
            dataclasses.replace(THREE, balancer=balancer),
            100,
            group=100,
            surge=surge,
            window=window,
        )
        name = (
            f"{balancer}, {surge} at once"
            + (", TLS in the gateway" if tls else "")
            + (", a million quiet jobs" if load is QUIET else "")
        )
        yield (
            name,
            f"{run['minutes']:.1f}",
            f"{run['comebacksPerWatcher']:.2f}",
            f"{run['fullestOverMean']:.2f} (model {run['modelFullestOverMean']:.2f})",
            number(run["mostPerSecond"]),
            number(run["mostPerSecondOfAPod"]),
            duration(run["waitP99"]),
            duration(run["waitMost"]),
            number(run["questions"]),
            duration(run["natsWaitMost"]),
        )


def restart_table():
    """As a table."""
    return table(
        (
            "balancer",
            "minutes",
            "comebacks a watcher",
            "fullest pod ÷ mean",
            "most comebacks/s",
            "… of one pod",
            "wait p99",
            "longest",
            "questions to NATS",
            "longest wait there",
        ),
        restarts(),
    )


def crashes():
    """Pods that vanish, simulated."""
    for lost, window, away in (
        (1, 600.0, 0.25),
        (10, 600.0, 0.25),
        (33, 600.0, 0.25),
        (10, 20.0, 60.0),
        (33, 20.0, 60.0),
    ):
        run = simulate.crash(SIMULATED, THREE, 100, lost, group=20, window=window, away=away)
        name = "in the window" if window > away else f"{away:.0f} s missed, window {window:.0f} s"
        yield (
            lost,
            name,
            number(run["mostPerSecondOfAPod"]),
            duration(run["waitP50"]),
            duration(run["waitP99"]),
            f"{run['allBack']:.1f} s" + (f" (model {run['modelSeconds']:.1f})" if window > away else ""),
            number(run["pages"]),
            duration(run["natsWaitMost"]),
        )


def crash_table():
    """As a table."""
    return table(
        (
            "pods lost of 100",
            "what was missed is",
            "most comebacks/s of a pod",
            "wait p50",
            "p99",
            "all have it after",
            "pages of JetStream",
            "longest wait there",
        ),
        crashes(),
    )


def tail_runs():
    """Events on their way to a hundred pods, simulated."""
    for pods, rate in ((10, 1_000), (100, 500), (100, 1_000), (100, 2_000), (100, 3_000), (100, 5_000)):
        run = simulate.tails(Load(10_000 * pods, 10_000, rate), THREE, pods, seconds=10)
        yield (
            pods,
            number(rate),
            run["busiestServerHas"],
            f"{run['handOutBusy']:.0%}",
            f"{run['networkBusy']:.0%}",
            f"{run['podBusy']:.0%}",
            duration(run["p50"]),
            duration(run["p99"]),
            f"{run['behindAtEnd']:.1f} s behind after 10 s" if run["behindAtEnd"] > 0.5 else "keeps up",
        )


def tail_table():
    """As a table."""
    return table(
        (
            "gateways",
            "events/s",
            "tails at the busiest of 3",
            "its hand-out",
            "its network",
            "the pod",
            "p50",
            "p99",
            "",
        ),
        tail_runs(),
    )


TABLES = {
    "costs": costs,
    "sizes": sizes,
    "windows": windows,
    "limits": limits,
    "break-even": break_even,
    "alternatives": alternatives,
    "republish": republish,
    "restarts": restart_table,
    "crashes": crash_table,
    "tails": tail_table,
    "constants": constants,
}


def with_tables(text):
    """The document with each table as it has to be."""
    for name, make in TABLES.items():
        begin, end = f"<!-- {name}: written by benches/scaling/tables.py -->", f"<!-- end of {name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise SystemExit(f"{DOCUMENT.name}: the markers of {name} have to be there, once")
        before, rest = text.split(begin)
        after = rest.split(end, 1)[1]
        text = "\n".join((before + begin, *make(), end + after))
    return text


def main():
    """Writes, or compares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="change the document instead of comparing it")
    options = parser.parse_args()
    there = DOCUMENT.read_text(encoding="utf-8")
    wanted = with_tables(there)
    if options.write:
        DOCUMENT.write_text(wanted, encoding="utf-8")
    elif there != wanted:
        sys.stdout.writelines(
            difflib.unified_diff(there.splitlines(True), wanted.splitlines(True), "docs/scaling.md", "as computed")
        )
        raise SystemExit("docs/scaling.md is not up to date: benches/scaling/tables.py --write")


if __name__ == "__main__":
    main()
