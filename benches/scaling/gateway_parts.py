"""What events, watchers and those who come back cost a gateway, and the broker behind it."""

import json
import os
import socket
import ssl
import subprocess
import time

import model
from figures import spread
from stage import EVENT_BYTES, Stage


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
        seen, rest = 0, b""
        while seen < events:
            chunk = client.recv(1 << 20)
            if not chunk:
                raise SystemExit(f"the stream of events ended: {rest[-300:]}")
            rest += chunk
            seen += rest.count(b'"progress"')
            rest = rest[-9:]


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
        env={**os.environ, "NATS_SERVER_BIN": options.nats_server},
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
