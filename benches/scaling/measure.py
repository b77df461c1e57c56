#!/usr/bin/env python3
"""Measures the constants of model.py that `jobwire bench` does not: run on Linux, with built programs.

    benches/scaling/measure.py tail --jobwire target/release/jobwire --nats-server nats-server

Prints one JSON object per part. Processor time is what the kernel counts for the processes, so that
a busy machine disturbs it less than a time of day; each part is repeated, and the median is given
with the smallest and the largest.
"""

import argparse
import json
import socket
import ssl
import statistics
import subprocess
import sys
import time

from stage import EVENT_BYTES, Stage, received

WARM_UP = 2.0


def spread(values):
    """Median, smallest and largest."""
    ordered = sorted(values)
    return [float(f"{value:.4g}") for value in (statistics.median(ordered), ordered[0], ordered[-1])]


def slope(points):
    """Least squares: rise per unit, and value at zero."""
    mean_x = statistics.mean(x for x, _ in points)
    mean_y = statistics.mean(y for _, y in points)
    square = sum((x - mean_x) ** 2 for x, _ in points)
    rise = sum((x - mean_x) * (y - mean_y) for x, y in points) / square
    return rise, mean_y - rise * mean_x


def tail_once(options, gateways, rate):
    """Microseconds an event: all brokers, one gateway; and bytes an event to one gateway."""
    with Stage(options.executables, options.servers) as stage:
        for _ in range(gateways):
            stage.gateway()
        stage.publisher.run(rate, WARM_UP, options.tick)
        brokers, gateway_cpu = stage.broker_cpu(), stage.gateway_cpu()
        wire = [received(gateway) for gateway in stage.gateways[:1]]
        start = time.monotonic()
        events = stage.publisher.run(rate, options.seconds, options.tick)
        late = time.monotonic() - start - options.seconds
        wire = [received(gateway) - before for gateway, before in zip(stage.gateways, wire)]
        brokers, gateway_cpu = stage.broker_cpu() - brokers, stage.gateway_cpu() - gateway_cpu
    return {
        "brokerUs": brokers / events * 1e6,
        "gatewayUs": gateway_cpu / events * 1e6 / max(gateways, 1),
        "wireBytes": wire[0] / events if wire else None,
        "lateSeconds": late,
    }


def tail(options):
    """What an event costs brokers and gateways that nobody watches."""
    for rate in options.rates:
        rounds = {gateways: [] for gateways in options.gateways}
        for _ in range(options.rounds):
            for gateways in options.gateways:
                rounds[gateways].append(tail_once(options, gateways, rate))
        rises = [
            slope([(gateways, rounds[gateways][number]["brokerUs"]) for gateways in options.gateways])
            for number in range(options.rounds)
        ]
        some = [one for gateways, many in rounds.items() if gateways for one in many]
        yield {
            "part": "tail",
            "servers": options.servers,
            "eventsPerSecond": rate,
            "tick": options.tick,
            "brokerUsPerEvent": {
                gateways: spread(one["brokerUs"] for one in many) for gateways, many in rounds.items()
            },
            "brokerUsPerEventAndGateway": spread(rise for rise, _ in rises),
            "gatewayUsPerEvent": spread(one["gatewayUs"] for one in some),
            "wireBytesPerEvent": spread(one["wireBytes"] for one in some),
            "mostLateSeconds": max(one["lateSeconds"] for many in rounds.values() for one in many),
        }


def window(options):
    """Events that a window holds, and the memory that the process takes for them."""
    for size in (EVENT_BYTES, 1_000):
        for budget in (32, 128):
            with Stage(options.executables) as stage:
                gateway = stage.gateway(JOBWIRE_WINDOW=f"{budget}MiB")
                empty = gateway.memory()
                count = int(budget * 2**20 / size * 1.1)
                stage.publisher.fill(count, jobs=1_000, size=size)
                time.sleep(2)
                events = gateway.metric("jobwire_window_events")
                yield {
                    "part": "window",
                    "eventBytes": size,
                    "windowMiB": budget,
                    "events": events,
                    "budgetBytesPerEvent": budget * 2**20 / events,
                    "residentBytesPerEvent": (gateway.memory() - empty) / events,
                    "emptyProcessBytes": empty,
                }


def history(port, job, after, events):
    """Reads that many events of a job as a stream of Server-Sent Events."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(
            f"GET /api/v1/jobs/optimization/load-{job}/events?after={after} HTTP/1.1\r\n"
            "Host: localhost\r\nAccept: text/event-stream\r\n\r\n".encode()
        )
        text = seen = 0
        rest = b""
        while seen < events:
            chunk = client.recv(1 << 20)
            if not chunk:
                raise SystemExit(f"the stream of events ended: {rest[-300:]}")
            rest += chunk
            seen += rest.count(b'"progress"')
            rest = rest[-9:]
        return text


def pages_once(options, jobs, missed):
    """Processor time of broker and gateway for one cold catch-up, in microseconds."""
    with Stage(options.executables) as stage:
        stage.publisher.fill(options.stored, jobs=max(jobs, 1_000))
        after = options.stored
        stage.publisher.fill(jobs * missed, jobs=jobs)
        stage.publisher.fill(80_000, jobs=80_000, first=1_000_000)
        gateway = stage.gateway(JOBWIRE_WINDOW="4MiB", JOBWIRE_PAGE_CACHE="1MiB")
        time.sleep(1)
        broker, server = stage.broker_cpu(), stage.gateway_cpu()
        for job in range(jobs):
            history(gateway.port, job, after, missed)
        return {
            "brokerUs": (stage.broker_cpu() - broker) / jobs * 1e6,
            "gatewayUs": (stage.gateway_cpu() - server) / jobs * 1e6,
        }


def pages(options):
    """Catch-ups of events that are older than the window, one job after the other."""
    for jobs, missed in ((400, 10), (200, 100), (40, 1_000), (10, 10_000))[: options.sizes]:
        rounds = [pages_once(options, jobs, missed) for _ in range(options.rounds)]
        yield {
            "part": "pages",
            "missed": missed,
            "jobs": jobs,
            "storedBefore": options.stored,
            "brokerUsPerCatchUp": spread(one["brokerUs"] for one in rounds),
            "gatewayUsPerCatchUp": spread(one["gatewayUs"] for one in rounds),
        }


def questions_once(options, jobs):
    """Processor time for the subscribe to a quiet job that a pod knows nothing of, in microseconds."""
    with Stage(options.executables) as stage:
        stage.publisher.fill(options.stored)
        stage.publisher.fill(jobs, jobs=jobs)
        stage.publisher.fill(80_000, jobs=80_000, first=1_000_000)
        gateway = stage.gateway(JOBWIRE_WINDOW="4MiB", JOBWIRE_PAGE_CACHE="1MiB")
        last = options.stored + jobs
        time.sleep(1)
        broker, server = stage.broker_cpu(), stage.gateway_cpu()
        for job in range(jobs):
            client = websocket(gateway.port, [job], after=last)
            told = b""
            while b'"subscribed"' not in told:
                told += client.recv(4_096)
            client.close()
        return {
            "brokerUs": (stage.broker_cpu() - broker) / jobs * 1e6,
            "gatewayUs": (stage.gateway_cpu() - server) / jobs * 1e6,
        }


def questions(options):
    """Subscribes with nothing missed, to jobs that have been quiet for longer than the window."""
    rounds = [questions_once(options, 1_000) for _ in range(options.rounds)]
    yield {
        "part": "questions",
        "storedBefore": options.stored,
        "brokerUsPerQuestion": spread(one["brokerUs"] for one in rounds),
        "gatewayUsPerQuestion": spread(one["gatewayUs"] for one in rounds),
    }


def bench(options, arguments):
    """Medians of one `jobwire bench` with its JSON."""
    command = [options.jobwire, "bench", *arguments, "--rounds", str(options.rounds), "--json"]
    out = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        env={**__import__("os").environ, "NATS_SERVER_BIN": options.nats_server},
    )
    return json.loads(out.stdout)["contenders"]


def deliveries(options):
    """What a delivery costs the gateway, by how events are spread over jobs and watchers."""
    for jobs, watchers, rate in (
        (1, 1_000, 20),
        (1, 1_000, 100),
        (10, 100, 20),
        (100, 10, 20),
        (1_000, 1, 2),
        (1_000, 1, 20),
    ):
        one = bench(
            options,
            [
                "fan-out",
                "--jobs",
                str(jobs),
                "--watchers",
                str(watchers),
                "--rate",
                str(rate),
                "--seconds",
                str(options.seconds),
            ],
        )[0]
        values = one["summary"]["serverCpuPerDeliveryUs"]
        yield {
            "part": "deliveries",
            "jobs": jobs,
            "watchersPerJob": watchers,
            "eventsPerSecondPerJob": rate,
            "gatewayUsPerDelivery": [values["median"], values["min"], values["max"]],
        }


def returns(options):
    """What a watcher that comes back costs: connection, upgrade, subscribe, what was missed."""
    for missed in (1, 100):
        for one in bench(options, ["storm", "--clients", "2000", "--missed", str(missed), "--jobs", "50"]):
            clients = 2_000
            yield {
                "part": "returns",
                "contender": one["name"],
                "missed": missed,
                "gatewayUsPerClient": spread(r["serverCpuSeconds"] / clients * 1e6 for r in one["rounds"]),
                "brokerUsPerClient": spread(r["brokerCpuSeconds"] / clients * 1e6 for r in one["rounds"]),
            }


def websocket(port, jobs, after=0):
    """A connection that is subscribed to jobs, and the bytes that came until then are read."""
    client = socket.create_connection(("127.0.0.1", port), timeout=30)
    client.sendall(
        b"GET /ws/optimization HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    while not client.recv(4_096).endswith(b"\r\n\r\n"):
        pass
    for job in jobs:
        text = json.dumps({"type": "subscribe", "jobId": f"load-{job}", "afterEventId": after}).encode()
        client.sendall(bytes([0x81, 0x80 | len(text)]) + bytes(4) + text)
    return client


def tls_once(options, encrypted, connections=500):
    """Microseconds of the gateway for one connection and one request."""
    with Stage(options.executables) as stage:
        folder = stage.folder.name
        subprocess.run(
            [
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=localhost",
                "-keyout",
                f"{folder}/key",
                "-out",
                f"{folder}/cert",
            ],
            check=True,
            capture_output=True,
        )
        settings = (
            {"JOBWIRE_TLS_CERTIFICATE": f"{folder}/cert", "JOBWIRE_TLS_KEY": f"{folder}/key"} if encrypted else {}
        )
        gateway = stage.gateway(**settings)
        context = ssl.create_default_context(cafile=f"{folder}/cert")
        context.check_hostname = False
        before = stage.gateway_cpu()
        for _ in range(connections):
            client = socket.create_connection(("127.0.0.1", gateway.port))
            client = context.wrap_socket(client) if encrypted else client
            client.sendall(b"GET /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n")
            client.recv(4_096)
            client.close()
        return (stage.gateway_cpu() - before) / connections * 1e6


def tls(options):
    """What a full TLS 1.3 handshake with a P-256 certificate adds to a connection."""
    rounds = [tls_once(options, True) - tls_once(options, False) for _ in range(options.rounds)]
    yield {"part": "tls", "gatewayUsPerHandshake": spread(rounds)}


def verify_once(options, background=1_000, jobs=20, watchers=50, rate=5):
    """Two gateways with 1,000 watchers each, and events that nobody watches: measured and as the model has it."""
    with Stage(options.executables) as stage:
        gateways = [stage.gateway(), stage.gateway()]
        broker = stage.brokers[0]
        benches = [
            subprocess.Popen(
                [
                    options.jobwire,
                    "bench",
                    "fan-out",
                    "--gateway",
                    f"127.0.0.1:{gateway.port}",
                    "--nats",
                    f"nats://127.0.0.1:{broker.port}",
                    "--gateway-pid",
                    str(gateway.child.pid),
                    "--nats-pid",
                    str(broker.child.pid),
                    "--jobs",
                    str(jobs),
                    "--watchers",
                    str(watchers),
                    "--rate",
                    str(rate),
                    "--seconds",
                    str(4 * options.seconds),
                    "--rounds",
                    "1",
                    "--json",
                ],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            for gateway in gateways
        ]
        # Both are past their warm-up, and measured while both still publish.
        stage.publisher.run(background, 6, options.tick)
        ids = [gateway.metric("jobwire_tail_sequence") for gateway in gateways]
        before, broker_before, start = [one.cpu() for one in gateways], stage.broker_cpu(), time.monotonic()
        stage.publisher.run(background, options.seconds, options.tick)
        seconds = time.monotonic() - start
        used = [(one.cpu() - at) / seconds for one, at in zip(gateways, before)]
        broker_used = (stage.broker_cpu() - broker_before) / seconds
        events = (gateways[0].metric("jobwire_tail_sequence") - ids[0]) / seconds
        clean = [json.loads(one.communicate()[0])["clean"] for one in benches]
    return {
        "gatewayCores": used,
        "brokerCores": broker_used,
        "eventsPerSecond": events,
        "clean": clean,
        "watchedPerPod": jobs * rate,
        "deliveriesPerPod": jobs * rate * watchers,
        "watchersPerPod": jobs * watchers,
    }


def verify(options):
    """The model beside a run of two gateways."""
    import model

    for round_number in range(options.rounds):
        one = verify_once(options)
        rate, watched = one["eventsPerSecond"], one["watchedPerPod"]
        pod = (
            rate * model.at("tail_pod", rate)
            + watched * model.at("waking", watched)
            + one["deliveriesPerPod"] * model.value("delivery") / 1e6
            + one["watchersPerPod"] * model.value("connection_idle") / 1e6
        )
        broker = rate * model.at("publish", rate) + 2 * rate * model.at("tail_broker", rate)
        yield {"part": "verify", "round": round_number, **one, "modelGatewayCores": pod, "modelBrokerCores": broker}


def frame(options):
    """Bytes that a watcher's connection carries for an event, TCP and IP not counted."""
    with Stage(options.executables) as stage:
        gateway = stage.gateway()
        stage.publisher.fill(1, jobs=1)
        client = websocket(gateway.port, [0])
        time.sleep(1)
        client.recv(1 << 20)
        stage.publisher.run(200, 2, jobs=1)
        client.settimeout(1)
        total = 0
        try:
            while chunk := client.recv(1 << 20):
                total += len(chunk)
        except TimeoutError:
            pass
        yield {"part": "frame", "bytesPerDelivery": total / 400, "eventBytes": EVENT_BYTES}


def core_once(options, subscribers, rate, republish):
    """Microseconds of the broker for an event with so many plain subscribers to everything."""
    further = {"republish": {"src": "jobs.>", "dest": "live.>"}} if republish else {}
    with Stage(options.executables, stream=further) as stage:
        prefix = b"live" if republish else b"jobs"
        readers = [
            subprocess.Popen([sys.executable, "-c", SUBSCRIBER, str(stage.brokers[0].port), prefix.decode()])
            for _ in range(subscribers)
        ]
        stage.publisher.run(rate, WARM_UP, options.tick)
        before = stage.broker_cpu()
        events = stage.publisher.run(rate, options.seconds, options.tick)
        used = stage.broker_cpu() - before
        for reader in readers:
            reader.kill()
            reader.wait()
    return used / events * 1e6


SUBSCRIBER = """
import socket, sys
client = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
client.sendall(b'CONNECT {"verbose":false,"headers":true}\\r\\nSUB ' + sys.argv[2].encode() + b'.*.*.progress 1\\r\\n')
while client.recv(1 << 20):
    pass
"""


def core(options):
    """What a plain subscriber of every event costs the broker, and what republishing adds."""
    counts = (0, 1, 2, 4)
    for rate in options.rates:
        for republish in (False, True):
            rises, bases = [], []
            for _ in range(options.rounds):
                points = [(count, core_once(options, count, rate, republish)) for count in counts]
                rises.append(slope(points)[0])
                bases.append(points[0][1])
            yield {
                "part": "core",
                "eventsPerSecond": rate,
                "republish": republish,
                "brokerUsPerEvent": spread(bases),
                "brokerUsPerEventAndSubscriber": spread(rises),
            }


def sweep(options):
    """What the last event of many subjects costs the broker, asked for by 1,000 at once."""
    rounds = []
    for _ in range(options.rounds):
        with Stage(options.executables) as stage:
            stage.publisher.fill(100_000, jobs=10_000)
            before = stage.broker_cpu()
            for first in range(0, 10_000, 1_000):
                subjects = [f"jobs.optimization.load-{job}.>" for job in range(first, first + 1_000)]
                asked = stage.publisher.acknowledged
                body = json.dumps({"multi_last": subjects, "batch": 1_024}).encode()
                stage.publisher.socket.sendall(
                    f"PUB $JS.API.DIRECT.GET.JOBS _acks.s {len(body)}\r\n".encode() + body + b"\r\n"
                )
                end = time.monotonic() + 10
                while stage.publisher.acknowledged - asked < 1_001 and time.monotonic() < end:
                    stage.publisher.take()
                    time.sleep(0.002)
            rounds.append((stage.broker_cpu() - before) / 10_000 * 1e6)
    yield {"part": "sweep", "brokerUsPerSubject": spread(rounds), "lastAnswer": stage.publisher.acknowledged}


def placement(options):
    """Which server of a cluster a tail's consumer is at."""
    with Stage(options.executables, max(options.servers, 3)) as stage:
        for _ in range(12):
            stage.gateway()
        answer = stage.publisher.request("$JS.API.CONSUMER.LIST.JOBS", b"")
        leaders = [one["cluster"]["leader"] for one in answer["consumers"]]
        stream = stage.publisher.request("$JS.API.STREAM.INFO.JOBS", b"")["cluster"]["leader"]
        yield {
            "part": "placement",
            "streamLeader": stream,
            "consumersAt": {name: leaders.count(name) for name in sorted(set(leaders))},
        }


PULLER = """
import json, socket, sys
port, name, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
client = socket.create_connection(("127.0.0.1", port))
client.sendall(b'CONNECT {"verbose":false,"headers":true}\\r\\nSUB in.%s 1\\r\\n' % name.encode())
def ask(subject, fields):
    body = json.dumps(fields).encode()
    client.sendall(f"PUB {subject} in.{name} {len(body)}\\r\\n".encode() + body + b"\\r\\n")
ask(f"$JS.API.CONSUMER.CREATE.JOBS.{name}.jobs.>", {"stream_name": "JOBS", "config": {
    "name": name, "ack_policy": "none", "mem_storage": True, "filter_subject": "jobs.>", "num_replicas": 1}})
text = b""
while b"num_pending" not in text:
    text += client.recv(65536)
print("made", flush=True)
sys.stdin.readline()
ask(f"$JS.API.CONSUMER.MSG.NEXT.JOBS.{name}", {"batch": count})
seen, rest = 0, b""
while seen < count:
    rest = rest[-12:] + client.recv(1 << 20)
    seen += rest.count(b"$JS.ACK.JOBS.")
print("read", flush=True)
"""


def ceiling_once(options, consumers, stored):
    """Deliveries a second, and microseconds of the broker for each, when all read as quickly as they can."""
    with Stage(options.executables) as stage:
        stage.publisher.fill(stored, size=options.size)
        pullers = [
            subprocess.Popen(
                [sys.executable, "-c", PULLER, str(stage.brokers[0].port), f"c{number}", str(stored)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(consumers)
        ]
        for puller in pullers:
            assert puller.stdout.readline() == "made\n"
        before, start = stage.broker_cpu(), time.monotonic()
        for puller in pullers:
            puller.stdin.write("go\n")
            puller.stdin.flush()
        for puller in pullers:
            assert puller.stdout.readline() == "read\n"
            puller.wait()
        seconds = time.monotonic() - start
        return consumers * stored / seconds, (stage.broker_cpu() - before) / consumers / stored * 1e6


def ceiling(options):
    """How many messages a second one server hands out to consumers of one stream."""
    for consumers in (1, 4, 16):
        rounds = [ceiling_once(options, consumers, 400_000 // consumers) for _ in range(options.rounds)]
        yield {
            "part": "ceiling",
            "eventBytes": options.size,
            "consumers": consumers,
            "deliveriesPerSecond": spread(rate for rate, _ in rounds),
            "brokerUsPerDelivery": spread(cost for _, cost in rounds),
        }


def slab():
    """Bytes of the kernel's own objects."""
    with open("/proc/meminfo", encoding="ascii") as lines:
        return next(int(line.split()[1]) * 1_024 for line in lines if line.startswith("Slab:"))


def sockets(options):
    """What an idle TCP connection costs the kernel, at one of its ends."""
    rounds = []
    for _ in range(options.rounds):
        with socket.create_server(("127.0.0.1", 0), backlog=4_096) as listener:
            before, ends = slab(), []
            for _ in range(5_000):
                ends.append(socket.create_connection(listener.getsockname()))
                ends.append(listener.accept()[0])
            rounds.append((slab() - before) / len(ends))
            for end in ends:
                end.close()
        time.sleep(1)
    yield {"part": "sockets", "kernelBytesPerConnection": spread(rounds)}


PARTS = {
    "tls": tls,
    "verify": verify,
    "questions": questions,
    "ceiling": ceiling,
    "sockets": sockets,
    "frame": frame,
    "core": core,
    "sweep": sweep,
    "placement": placement,
    "tail": tail,
    "window": window,
    "pages": pages,
    "deliveries": deliveries,
    "returns": returns,
}


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--jobwire", required=True, help="a release build of the gateway")
    parser.add_argument("--nats-server", required=True, help="a nats-server of 2.11 or later")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="that are measured in each round")
    parser.add_argument("--rates", type=int, nargs="+", default=[200, 2_000, 10_000], help="events a second (tail)")
    parser.add_argument(
        "--tick",
        type=float,
        default=0.001,
        help="seconds whose events are published together: wakings cost more than events",
    )
    parser.add_argument("--gateways", type=int, nargs="+", default=[0, 1, 2, 4], help="how many (tail)")
    parser.add_argument("--servers", type=int, default=1, help="brokers, and replicas of the stream (tail)")
    parser.add_argument("--stored", type=int, default=100_000, help="events before those that are read (pages)")
    parser.add_argument("--size", type=int, default=EVENT_BYTES, help="bytes of an event (ceiling)")
    parser.add_argument("--sizes", type=int, default=4, help="of catch-ups: 10, 100, 1,000 and 10,000 events (pages)")
    options = parser.parse_args()
    options.executables = {"jobwire": options.jobwire, "nats": options.nats_server}
    return options


if __name__ == "__main__":
    chosen = arguments()
    for figures in PARTS[chosen.part](chosen):
        print(json.dumps(figures), flush=True)
        sys.stdout.flush()
