#!/usr/bin/env python3
"""Says how many gateways a load needs, how big, with what window, and what it asks of NATS.

    benches/scaling/model.py --watchers 100000 --jobs 2000 --rate 2000

A calculation from the measured constants in constants.py, explained in docs/scaling.md. Jobs are taken to be
alike: each has the same share of the events and of the watchers.
"""

import argparse
import dataclasses
import functools
import json
import math

from constants import CONSTANTS, value

MEBIBYTE = 2**20
MOST_PODS = 2_000
DEFAULT_WINDOW, WINDOW_STEP = 128 * MEBIBYTE, 64 * MEBIBYTE
PAGE_CACHE = 32 * MEBIBYTE
# What blocked sockets and publishing may hold, each.
BOUNDED_BUFFERS = 2 * 64 * MEBIBYTE
# A part of the window is for the last ids of older jobs, each of two generations.
LAST_IDS_PART, LAST_ID_BYTES = 8, 160
MEMORY_MARGIN = 1.25
# Bytes that a packet carries.
PACKET = 1_448
# A pod is full at its fullest moment; the sizes below are for that moment.
FULLEST = 0.9
# A limit on connections lets in who comes when this share of the pods is lost, and a little more than the fullest has.
MAY_BE_LOST, ROOM = 1 / 3, 1.1


@dataclasses.dataclass(frozen=True)
class Load:
    """What is asked for. Rates are events a second of all jobs; `away` is in seconds."""

    watchers: int
    jobs: int
    rate: float
    size: int = 260
    away: float = 60.0
    tls: bool = False

    @property
    def per_job(self):
        """Watchers of one job."""
        return self.watchers / self.jobs


@dataclasses.dataclass(frozen=True)
class Machines:
    """What there is to run it on. Networks in Gbit/s."""

    cores: float = 2.0
    target: float = 0.6
    per_pod: int = 10_000
    pod_network: float = 5.0
    balancer: str = "random"
    servers: int = 3
    server_network: float = 10.0
    server_cores: float = 8.0


def between(points, rate):
    """A cost measured at some rates, on straight lines between their logarithms; level beyond them."""
    known = sorted(points.items())
    if rate <= known[0][0]:
        return known[0][1]
    for (low, at_low), (high, at_high) in zip(known, known[1:]):
        if rate <= high:
            share = math.log(rate / low) / math.log(high / low)
            return math.exp(math.log(at_low) + share * math.log(at_high / at_low))
    return known[-1][1]


@functools.cache
def curve(prefix):
    """The constants `prefix_200`, `prefix_2000`, … as a curve over events a second."""
    names = [name for name in CONSTANTS if name.rpartition("_")[0] == prefix and name.rpartition("_")[2].isdigit()]
    return {float(name.rpartition("_")[2]): value(name) for name in names}


def at(prefix, rate):
    """Seconds of a processor an event costs at a rate."""
    return between(curve(prefix), rate) / 1e6


def wire(load):
    """Bytes of an event between broker and pod, and its share of TCP and IP."""
    return (load.size + value("wire_overhead")) * value("packet_share")


def frame(load):
    """Bytes of an event between pod and watcher, in packets of its own."""
    message = load.size + value("frame_overhead")
    return message + math.ceil(message / PACKET) * value("packet_bytes")


def jobs_here(load, pods):
    """Jobs with a watcher on a given pod, where watchers are spread by chance."""
    return load.jobs * (1 - (1 - 1 / pods) ** load.per_job) if pods > 1 else min(load.jobs, load.watchers)


def pods_of_a_job(load, pods):
    """Pods on which a job that is watched at all has a watcher."""
    return pods * jobs_here(load, pods) / min(load.jobs, load.watchers)


def fullest(pods, balancer, surge=1):
    """The fullest pod of a rolling restart, `surge` pods at once, beside the mean.

    By chance, what is given away is spread over all that stand, those that are next among them, which so grow by
    surge/pods each time. With the least loaded first, the new ones take it.
    """
    if pods == 1:
        return 1.0
    if balancer == "least":
        return pods / (pods - 1)
    return (1 + surge / pods) ** (pods / surge - 1)


def pod_seconds(load, pods, watchers):
    """Processor seconds a second of one pod with so many watchers, by what they are for."""
    share = watchers * pods / load.watchers
    watched = load.rate / load.jobs * jobs_here(load, pods)
    return {
        "tail": load.rate * at("tail_pod", load.rate),
        "waking": watched * at("waking", watched) if watched else 0.0,
        "deliveries": load.rate / load.jobs * load.watchers / pods * share * value("delivery") / 1e6,
        "connections": watchers * value("connection_idle") / 1e6,
    }


def pod_network(load, pods, watchers):
    """Gbit/s of one pod: what comes from NATS, and what goes to watchers."""
    outgoing = load.rate / load.jobs * watchers * frame(load)
    return {"in": load.rate * wire(load) * 8 / 1e9, "out": outgoing * 8 / 1e9}


def window_bytes(load):
    """The window that still has what somebody missed in `away` seconds, in steps of 64 MiB; never below the default."""
    needed = load.away * load.rate * event_in_window(load.size)
    return max(DEFAULT_WINDOW, math.ceil(needed / WINDOW_STEP) * WINDOW_STEP)


def event_in_window(size):
    """Bytes of the window's budget for an event."""
    return size * value("window_factor") + value("window_overhead")


def window_seconds(load, window):
    """For how long a window remembers."""
    return window / event_in_window(load.size) / load.rate


def pod_memory(load, window, watchers):
    """Bytes that a pod may take: window, pages, buffers, and its connections, in the kernel too."""
    connection = value("connection_tls" if load.tls else "connection") * 1e3 + value("connection_kernel")
    used = value("process") * 1e6 + window + PAGE_CACHE + BOUNDED_BUFFERS + watchers * connection
    return used * MEMORY_MARGIN


def binding(load, machines, pods):
    """What is more than one pod has, of so many; nothing if all is well."""
    mean = load.watchers / pods
    peak = mean * fullest(pods, machines.balancer)
    seconds = sum(pod_seconds(load, pods, mean).values())
    at_peak = sum(pod_seconds(load, pods, peak).values())
    over = []
    if mean > machines.per_pod:
        over.append("watchers of one pod")
    if seconds > machines.target * machines.cores:
        over.append("processor")
    if at_peak > FULLEST * machines.cores:
        over.append("processor of the fullest pod of a rolling restart")
    if sum(pod_network(load, pods, peak).values()) > FULLEST * machines.pod_network:
        over.append("network of the fullest pod of a rolling restart")
    return over


def tail_fits(load, machines):
    """Whether a pod that nobody watches has more than half of what it is meant to use left."""
    tail = load.rate * at("tail_pod", load.rate)
    return tail <= machines.target * machines.cores / 2 and load.rate * wire(load) * 8 / 1e9 <= machines.pod_network / 2


def least_pods(load, machines):
    """The smallest number of pods that carries the load, and what forbids fewer. `None`: there is none."""
    because = ["one is enough"]
    for pods in range(1, MOST_PODS + 1):
        over = binding(load, machines, pods)
        if not over:
            return pods, because
        because = over
    return None, because


def busiest(tails, servers):
    """Tails at the server that has the most: consumers are placed by chance, so it has more than its share."""
    return min(tails, tails / servers + math.sqrt(2 * math.log(servers) * tails / servers * (1 - 1 / servers)))


def busiest_egress(tails, servers, here):
    """How often that server sends an event: to its own tails, to pods of others' tails, and to replicas."""
    return here + (tails - here) / servers + (servers - 1)


def nats(load, machines, pods, tails=None):
    """What the busiest server has to do for `pods` gateways. `tails`: how many of them get an event, if not all."""
    servers, tails = machines.servers, pods if tails is None else tails
    here = busiest(tails, servers)
    clustered = servers > 1
    publish = load.rate * at("publish", load.rate) * (value("publish_factor") if clustered else 1.0)
    each = at("tail_broker", load.rate) * (value("cluster_factor") if clustered else 1.0)
    return {
        "servers": servers,
        "cores": publish / servers + load.rate * here * each,
        "egressGbit": load.rate * busiest_egress(tails, servers, here) * wire(load) * 8 / 1e9,
        "handedOut": load.rate * here,
        "ceilingShare": load.rate * here / value("stream_ceiling"),
        "consumers": pods,
        "connections": 2 * pods,
        "requestsPerSecond": pods * (value("leader_checks") + max(load.rate / value("pull_again"), 0.2)),
        "memoryOfConsumersMiB": pods * value("consumer_memory") / 1024,
    }


def nats_over(needs, machines):
    """What of it is more than the servers have at the wanted share of use."""
    over = []
    if needs["cores"] > machines.target * machines.server_cores:
        over.append("processor of NATS")
    if needs["egressGbit"] > machines.target * machines.server_network:
        over.append("network of NATS")
    if needs["ceilingShare"] > machines.target:
        over.append("what one server hands out of one stream")
    return over


def seconds_to_return(load, free):
    """What a pod needs for one who comes back, with so many cores free; never less than has been seen."""
    cost = value("return_tls" if load.tls else "return") / 1e6
    return max(cost / max(free, 0.02), 1 / value("accepted"))


def returning(load, machines, pods, window):
    """What coming back costs: one pod's watchers, to the others."""
    others = max(pods - 1, 1)
    mean = load.watchers / pods
    seconds = sum(pod_seconds(load, pods, mean).values())
    back = seconds_to_return(load, machines.cores * FULLEST - seconds)
    rate_of_job = load.rate / load.jobs
    # Jobs without an event for so long that the window has none of theirs.
    quiet = math.exp(-rate_of_job * window_seconds(load, window))
    remembered = window / LAST_IDS_PART / LAST_ID_BYTES
    asked = jobs_here(load, pods) * quiet
    return {
        "acceptedPerSecondOfAPod": 1 / back,
        "secondsToTakeALostPod": mean / others * back,
        "quietShare": quiet,
        "lastIdsRemembered": remembered,
        "questionsOfANewPod": asked,
        "natsSecondsOfThem": asked * value("question") / 1e6,
    }


def plan(load, machines):
    """The answer, as nested dictionaries of numbers and sentences."""
    pods, because = least_pods(load, machines)
    if pods is None or not tail_fits(load, machines):
        return {
            "load": dataclasses.asdict(load),
            "fits": False,
            "because": because if pods is None else ["a tail takes more than half of what a pod may use"],
            "partitions": least_partitions(load, machines),
        }
    spare = 1 if machines.servers > 1 else 0
    pods += spare
    window = window_bytes(load)
    mean, peak = load.watchers / pods, load.watchers / pods * fullest(pods, machines.balancer)
    needs = nats(load, machines, pods)
    room = max(peak * ROOM, mean * pods / (pods - math.ceil(pods * MAY_BE_LOST)) if pods > 1 else 0)
    most = math.ceil(room / 1_000) * 1_000
    return {
        "load": dataclasses.asdict(load),
        "fits": not nats_over(needs, machines),
        "because": because,
        "over": nats_over(needs, machines),
        "pods": pods,
        "watchersPerPod": mean,
        "fullestPod": peak,
        "maxConnections": most,
        "window": window,
        "windowSeconds": window_seconds(load, window),
        "memory": pod_memory(load, window, most),
        "cores": pod_seconds(load, pods, mean),
        "coresAtPeak": sum(pod_seconds(load, pods, peak).values()),
        "network": pod_network(load, pods, mean),
        "nats": needs,
        "returning": returning(load, machines, pods, window),
        "partitions": 1 if not nats_over(needs, machines) else least_partitions(load, machines),
    }


def least_partitions(load, machines):
    """The smallest power of two of partitions, with watchers sent by job, that carries the load; or `None`."""
    for power in range(1, 11):
        parts = 2**power
        part = dataclasses.replace(
            load, rate=load.rate / parts, jobs=max(load.jobs // parts, 1), watchers=max(load.watchers // parts, 1)
        )
        pods, _ = least_pods(part, machines)
        if pods and tail_fits(part, machines):
            needs = nats(load, machines, pods * parts, tails=pods)
            # A stream for each partition: what one server hands out of one stream is that of a part.
            needs["ceilingShare"] /= parts
            if not nats_over(needs, machines):
                return parts
    return None


def most_rate(pods, machines, size=260):
    """Events a second at which something ends, with so many pods; and what."""
    low, high, name = 1.0, 1e6, ""
    while high / low > 1.001:
        middle = math.sqrt(low * high)
        load = Load(watchers=pods, jobs=pods, rate=middle, size=size)
        over = nats_over(nats(load, machines, pods), machines)
        if not tail_fits(load, machines):
            over.append("half of a pod")
        low, high, name = (low, middle, over[0]) if over else (middle, high, name)
    return low, name


def alternatives(load, pods, parts, sweep_every=5.0):
    """Cores (of gateways and NATS) and Gbit/s out of NATS that live events take on their way to pods, in four ways."""
    here, spread = jobs_here(load, pods), pods_of_a_job(load, pods)
    watched = min(load.jobs, load.watchers) / load.jobs

    def tails(messages, rate_of_a_tail):
        each = at("tail_pod", rate_of_a_tail) + at("tail_broker", rate_of_a_tail)
        return {"cores": messages * each, "egressGbit": messages * wire(load) * 8 / 1e9}

    # A pod that asks for partitions as their jobs are watched has nearly all of them, once it watches many jobs.
    share = 1 - (1 - 1 / parts) ** here
    routed = max(pods / parts, 1)
    chains = load.rate * watched * spread
    swept = here * pods / sweep_every
    core = value("core_broker") / 1e6
    pod = at("tail_pod", max(chains / pods, 1))
    return {
        "one tail": tails(load.rate * pods, load.rate),
        "partitions, as asked for": tails(load.rate * pods * share, load.rate * share),
        "partitions, sent by job": tails(load.rate * routed, load.rate / parts),
        "republish": {
            "cores": load.rate * value("republish") / 1e6
            + chains * (pod + core)
            + swept * (value("sweep") / 1e6 + pod_of_sweep()),
            "egressGbit": (chains + swept) * wire(load) * 8 / 1e9,
        },
    }


def republish_pays_from(watchers, jobs, pods, what):
    """Events a second from which republish takes less of `what` than one tail for each pod; `None`: never."""
    rates = [10 ** (step / 50) for step in range(50, 251)]
    cheaper = []
    for rate in rates:
        found = alternatives(Load(watchers, jobs, rate), pods, 16)
        cheaper.append(found["republish"][what] < found["one tail"][what])
    if not cheaper[-1]:
        return None
    first_of_rest = len(cheaper) - next((place for place, yes in enumerate(reversed(cheaper)) if not yes), len(cheaper))
    return rates[first_of_rest]


def pod_of_sweep():
    """Processor seconds of a pod for one swept job: an event that comes among a thousand."""
    return value("tail_pod_10000") / 1e6


def lines(answer):
    """The answer for people."""
    parts = answer["partitions"] or "more than 1,024"
    if "pods" not in answer:
        yield f"one tail for each pod does not carry this: {', '.join(answer['because'])}"
        yield f"partitions, with watchers sent by job: {parts}"
        return
    needs, back, cores, network = answer["nats"], answer["returning"], answer["cores"], answer["network"]
    because = ", ".join(answer["because"])
    window = f"window = {answer['window'] // MEBIBYTE}MiB ({answer['windowSeconds']:,.0f} s)"
    yield f"gateways    {answer['pods']}, of {answer['watchersPerPod']:,.0f} watchers each ({because})"
    yield f"each        {sum(cores.values()):.2f} cores: " + ", ".join(
        f"{name} {each:.2f}" for name, each in cores.items()
    )
    yield f"fullest     {answer['fullestPod']:,.0f} watchers, {answer['coresAtPeak']:.2f} cores, in a rolling restart"
    yield f"memory      {answer['memory'] / 2**30:.1f} GiB limit"
    yield f"settings    {window}, max_connections = {answer['maxConnections']}"
    yield f"network     {network['in']:.2f} Gbit/s in, {network['out']:.2f} out, for each"
    yield (
        f"NATS        {needs['servers']} server{'s, the busiest' if needs['servers'] > 1 else ''}: "
        f"{needs['cores']:.2f} cores, {needs['egressGbit']:.2f} Gbit/s out"
    )
    yield (
        f"            {needs['handedOut']:,.0f} messages/s of the stream ({needs['ceilingShare']:.0%} of the most), "
        f"{needs['consumers']} consumers, {needs['requestsPerSecond']:.0f} requests/s in all"
    )
    if answer["pods"] > 1:
        yield f"a lost pod  {back['secondsToTakeALostPod'] * 1e3:.0f} ms of the others, from the window"
        yield (
            f"a new pod   asks NATS about up to {back['questionsOfANewPod']:,.0f} quiet jobs: "
            f"{back['natsSecondsOfThem']:.1f} s of a core"
        )
    if answer["over"]:
        yield f"too much    {', '.join(answer['over'])}: {parts} partitions, with watchers sent by job"


def arguments():
    """The command line, as a load and machines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog="What it stands on: docs/scaling.md")
    for given, text in ((Load, LOAD_HELP), (Machines, MACHINES_HELP)):
        for field in dataclasses.fields(given):
            name = "--" + field.name.replace("_", "-")
            if field.type in (bool, "bool"):
                parser.add_argument(name, action="store_true", help=text[field.name])
                continue
            needed = field.default is dataclasses.MISSING
            choices = ("random", "least") if field.name == "balancer" else None
            parser.add_argument(
                name,
                type=field.type,
                required=needed,
                choices=choices,
                help=text[field.name],
                default=None if needed else field.default,
            )
    parser.add_argument("--json", action="store_true", help="the answer with all its figures")
    options = parser.parse_args()
    chosen = {name: value for name, value in vars(options).items() if name != "json"}
    wrong = [name for name, number in chosen.items() if not isinstance(number, (bool, str)) and number <= 0]
    if wrong:
        parser.error(f"--{wrong[0].replace('_', '-')} has to be above 0")
    names = {field.name for field in dataclasses.fields(Load)}
    return (
        Load(**{name: chosen[name] for name in names}),
        Machines(**{name: number for name, number in chosen.items() if name not in names}),
        options.json,
    )


LOAD_HELP = {
    "watchers": "open connections, each of one job",
    "jobs": "jobs that have events",
    "rate": "events a second, of all jobs together",
    "size": "bytes of an event (260)",
    "away": "seconds after which who comes back still finds everything in the window (60)",
    "tls": "TLS ends in the gateway, not before it",
}
MACHINES_HELP = {
    "cores": "of a pod (2)",
    "target": "share of a processor or network that is used in calm times (0.6)",
    "per_pod": "watchers that may come back at once because one pod is lost (10000)",
    "pod_network": "Gbit/s of a pod (5)",
    "balancer": "how new connections find a pod (random)",
    "servers": "of NATS, and replicas of the stream: 1 or 3 (3)",
    "server_network": "Gbit/s of a NATS server (10)",
    "server_cores": "of a NATS server (8)",
}


if __name__ == "__main__":
    wanted, there_is, as_json = arguments()
    found = plan(wanted, there_is)
    print(json.dumps(found, indent=2) if as_json else "\n".join(lines(found)))
