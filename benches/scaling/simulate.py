#!/usr/bin/env python3
"""Simulates what no single machine can show: queues of a hundred tails, and pods that all their clients leave.

    benches/scaling/simulate.py restart --pods 100 --watchers 1000000 --balancer least

A discrete-event simulation, decided by a seed. Costs are those of constants.py; see docs/scaling.md for what is left
out. One simulated client stands for `--group` watchers that come together, so that queues are rather too long.
"""

import argparse
import heapq
import itertools
import json
import math
import random

import model
from constants import value

SLEEP, DRAIN, COME_BACK, FIRST_BACK_OFF = 5.0, 20.0, 2.0, 0.5
START, READY_FOR = 3.0, 5.0


class Servers:
    """Alike servers with one queue; who comes is served in order, and takes `seconds` of one of them."""

    def __init__(self, count):
        self.free = [0.0] * count

    def serve(self, now, seconds):
        """When it is done."""
        begin = max(now, heapq.heappop(self.free))
        heapq.heappush(self.free, begin + seconds)
        return begin + seconds


def quantile(ordered, share):
    """Of sorted values."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0


class Fleet:
    """Pods, how many watchers each has, and the queues at each of them and at NATS."""

    def __init__(self, load, machines, pods, group, window, chance):
        self.load, self.machines, self.pods, self.group, self.chance = load, machines, pods, group, chance
        self.count = [0] * (2 * pods)
        self.ready = list(range(pods))
        self.started = [-math.inf] * (2 * pods)
        self.queue = [0.0] * (2 * pods)
        self.window = window
        self.questions = Servers(machines.servers)
        self.pages = Servers(int(machines.servers * machines.server_cores))
        self.waits, self.nats_waits, self.asked, self.paged, self.came = [], [], 0, 0, 0
        self.fullest, self.last = 0, 0.0
        self.per_second, self.known_pages = {}, set()
        calm = model.pod_seconds(load, pods, load.watchers / pods)
        self.tail = calm["tail"] + calm["waking"]
        self.each = (calm["deliveries"] + calm["connections"]) / (load.watchers / pods)
        self.least = [(0, pod) for pod in self.ready]

    def place(self):
        """A pod for a new connection."""
        if self.machines.balancer == "random":
            return self.ready[int(self.chance.random() * len(self.ready))]
        while True:
            count, pod = heapq.heappop(self.least)
            # Every change of a pod that still gets connections has left a newer entry.
            if self.started[pod] != math.inf and count == self.count[pod]:
                return pod

    def join(self, pod):
        """A watcher more on a pod."""
        self.count[pod] += self.group
        self.fullest = max(self.fullest, self.count[pod])
        if self.machines.balancer == "least":
            heapq.heappush(self.least, (self.count[pod], pod))

    def start(self, pod, now):
        """A new pod is ready."""
        self.ready.append(pod)
        self.started[pod] = now - START - READY_FOR
        heapq.heappush(self.least, (0, pod))

    def stop(self, pod):
        """A pod gets no new connections any more."""
        self.ready.remove(pod)
        self.started[pod] = math.inf

    def come(self, now, away):
        """A client comes back after so many seconds. Returns its pod."""
        pod = self.place()
        self.join(pod)
        self.came += self.group
        second = (int(now), pod)
        self.per_second[second] = self.per_second.get(second, 0) + self.group
        free = self.machines.cores * model.FULLEST - self.tail - self.each * self.count[pod]
        self.queue[pod] = max(self.queue[pod], now) + model.seconds_to_return(self.load, free) * self.group
        done = self.history(pod, self.queue[pod], away)
        self.waits.append(done - now)
        self.last = max(self.last, done)
        return pod

    def history(self, pod, now, away):
        """When what was missed is there: from the window, after a question, or from pages of JetStream."""
        rate = self.load.rate / self.load.jobs
        if away > self.window and self.chance.random() < 1 - math.exp(-rate * away):
            return self.page(pod, now, rate * away)
        known_for = self.window + now - self.started[pod]
        if self.started[pod] == -math.inf or self.chance.random() > math.exp(-rate * known_for):
            return now
        self.asked += self.group
        done = self.questions.serve(now, value("question") / 1e6 * self.group)
        self.nats_waits.append(done - now)
        return done

    def page(self, pod, now, missed):
        """The first of a job's readers on a pod has it read, and the others read the cached page."""
        seconds, done = (value("page") + missed * value("page_event")) / 1e6, now
        for _ in range(self.group):
            job = int(self.chance.random() * self.load.jobs)
            if (pod, job) not in self.known_pages:
                self.known_pages.add((pod, job))
                self.paged += 1
                done = self.pages.serve(now, seconds)
                self.nats_waits.append(done - now)
        return done

    def told(self):
        """The figures of a run."""
        waits, nats = sorted(self.waits), sorted(self.nats_waits)
        clients = self.load.watchers
        seconds = {}
        for (second, _), count in self.per_second.items():
            seconds[second] = seconds.get(second, 0) + count
        return {
            "comebacksPerWatcher": self.came / clients,
            "fullestPod": self.fullest,
            "fullestOverMean": self.fullest / (clients / self.pods),
            "mostPerSecond": max(seconds.values()),
            "mostPerSecondOfAPod": max(self.per_second.values()),
            "waitP50": quantile(waits, 0.5),
            "waitP99": quantile(waits, 0.99),
            "waitMost": waits[-1],
            "questions": self.asked,
            "pages": self.paged,
            "natsWaitP99": quantile(nats, 0.99),
            "natsWaitMost": nats[-1] if nats else 0.0,
            "allBack": self.last,
        }


def fleet(load, machines, pods, group, window, chance):
    """Pods on which the watchers are spread evenly."""
    made = Fleet(load, machines, pods, group, window, chance)
    clients = [[] for _ in range(2 * pods)]
    for client in range(load.watchers // group):
        clients[client % pods].append(client)
        made.join(client % pods)
    return made, clients


def restart(load, machines, pods, group=10, surge=1, window=600.0, seed=1):
    """A rolling restart: new pods become ready, old ones sleep and drain, clients come back when they are told to."""
    chance = random.Random(seed)
    made, clients = fleet(load, machines, pods, group, window, chance)
    ties = itertools.count()
    events = [
        ((batch + 1) * (START + READY_FOR), next(ties), "swap", batch) for batch in range(math.ceil(pods / surge))
    ]
    heapq.heapify(events)
    where = {client: pod for pod, many in enumerate(clients) for client in many}
    on = [set(many) for many in clients]
    while events:
        now, _, what, number = heapq.heappop(events)
        if what == "swap":
            for pod in range(number * surge, min((number + 1) * surge, pods)):
                made.start(pods + pod, now)
                made.stop(pod)
                heapq.heappush(events, (now + SLEEP, next(ties), "drain", pod))
        elif what == "drain":
            for client in sorted(on[number]):
                close = now + DRAIN * chance.random()
                heapq.heappush(events, (close, next(ties), "close", client))
        elif what == "close":
            pod = where[number]
            made.count[pod] -= group
            on[pod].discard(number)
            heapq.heappush(events, (now + COME_BACK * chance.random(), next(ties), "come", number))
        else:
            where[number] = made.come(now, COME_BACK / 2)
            on[where[number]].add(number)
    return {
        "what": "restart",
        "surge": surge,
        "minutes": made.last / 60,
        **made.told(),
        "modelFullestOverMean": model.fullest(pods, machines.balancer, surge),
    }


def crash(load, machines, pods, lost, group=10, window=600.0, away=0.25, seed=1):
    """Pods vanish at once, and their clients come back within half a second, as they do by themselves.

    With a window shorter than `away`, everybody has missed something that is in no window.
    """
    chance = random.Random(seed)
    made, clients = fleet(load, machines, pods, group, window, chance)
    for pod in range(lost):
        made.stop(pod)
    coming = sorted(FIRST_BACK_OFF * chance.random() for many in clients[:lost] for _ in many)
    for now in coming:
        made.come(now, away)
    mean, others = load.watchers / pods, pods - lost
    free = machines.cores * model.FULLEST - made.tail - made.each * mean * pods / others
    expected = lost * mean / others * model.seconds_to_return(load, free)
    return {"what": "crash", "lost": lost, **made.told(), "modelSeconds": max(expected, FIRST_BACK_OFF)}


def tails(load, machines, pods, burst=10, seconds=20.0, seed=1):
    """Events on their way: one server's hand-out of the stream, its network, a pod's network and its processor.

    Watched is the last tail of the server that has the most of them, and the pod behind it. Events come in bursts of
    random size (geometric, `burst` on average) at random times.
    """
    chance = random.Random(seed)
    placed = [chance.randrange(machines.servers) for _ in range(pods)]
    here = max(placed.count(server) for server in range(machines.servers))
    hand_out = here / value("stream_ceiling")
    packet = model.wire(load) * 8 / 1e9
    sending = packet * model.busiest_egress(pods, machines.servers, here) / machines.server_network
    receiving = packet / machines.pod_network
    tail = model.at("tail_pod", load.rate)
    calm = model.pod_seconds(load, pods, load.watchers / pods)
    delivering = (calm["waking"] + calm["deliveries"]) / load.rate
    free = [0.0] * 4
    delays = [[], [], [], []]
    now = 0.0
    while now < seconds:
        now += chance.expovariate(load.rate / burst)
        for _ in range(1 + int(math.log(1 - chance.random()) / math.log(1 - 1 / burst)) if burst > 1 else 1):
            at = now
            # Deliveries of one event are as many as it has watchers here; spread over the pod's cores.
            costs = (hand_out, sending, receiving, tail + delivering * chance.expovariate(1) / machines.cores)
            for stage, cost in enumerate(costs):
                free[stage] = at = max(free[stage], at) + cost
                delays[stage].append(at - now)
    most = [sorted(delay) for delay in delays]
    utilised = hand_out * load.rate
    return {
        "what": "tails",
        "pods": pods,
        "rate": load.rate,
        "busiestServerHas": here,
        "handOutBusy": utilised,
        "networkBusy": sending * load.rate,
        "podBusy": (tail + delivering / machines.cores) * load.rate,
        "keepsUp": free[3] <= now + 1.0,
        "handOutP99": quantile(most[0], 0.99),
        "p50": quantile(most[3], 0.5),
        "p99": quantile(most[3], 0.99),
        "behindAtEnd": max(free[3] - now, 0.0),
    }


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("restart", "crash", "tails"))
    parser.add_argument("--pods", type=int, default=100)
    parser.add_argument("--watchers", type=int, default=1_000_000)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=1_000.0, help="events a second, of all jobs")
    parser.add_argument("--size", type=int, default=260, help="bytes of an event")
    parser.add_argument("--cores", type=float, default=2.0, help="of a pod")
    parser.add_argument("--balancer", choices=("random", "least"), default="random")
    parser.add_argument("--tls", action="store_true", help="TLS ends in the gateway")
    parser.add_argument("--surge", type=int, default=1, help="pods replaced at once (restart)")
    parser.add_argument("--lost", type=int, default=1, help="pods that vanish (crash)")
    parser.add_argument("--window", type=float, default=600.0, help="seconds that the window holds (restart, crash)")
    parser.add_argument("--away", type=float, default=0.25, help="seconds that clients have missed (crash)")
    parser.add_argument("--group", type=int, default=10, help="watchers that one simulated client stands for")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def main():
    """One run, as JSON."""
    options = arguments()
    load = model.Load(options.watchers, options.jobs, options.rate, options.size, tls=options.tls)
    machines = model.Machines(cores=options.cores, balancer=options.balancer)
    if options.what == "restart":
        figures = restart(load, machines, options.pods, options.group, options.surge, options.window, options.seed)
    elif options.what == "crash":
        figures = crash(
            load, machines, options.pods, options.lost, options.group, options.window, options.away, options.seed
        )
    else:
        figures = tails(load, machines, options.pods, seed=options.seed)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
