"""What gateways cost the broker: tails, plain subscribers, sweeps, and how much it can hand out."""

import json
import subprocess
import sys
import time

from figures import slope, spread
from stage import Stage, received

WARM_UP = 2.0


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


SUBSCRIBER = """
import socket, sys
client = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
client.sendall(b'CONNECT {"verbose":false,"headers":true}\\r\\nSUB ' + sys.argv[2].encode() + b'.*.*.progress 1\\r\\n')
while client.recv(1 << 20):
    pass
"""


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
