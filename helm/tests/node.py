"""Runs containers of rendered pods as processes on this machine, as a kubelet would: arguments,
environment and mounted files are those of the pod. Only what cannot be had here is replaced: paths
lie below a directory, NATS is at another address, ports are free ones."""

import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

MOUNTS = "/etc/jobwire/"
PATIENCE = 30


class Node:
    """A place for pods of one release, with the secrets and ConfigMaps that exist beside it."""

    def __init__(self, place: Path, release, existing, nats_url="nats://127.0.0.1:1"):
        self.place = place
        self.existing = existing
        self.nats_url = nats_url
        self.config_maps = {
            item["metadata"]["name"]: item.get("data", {}) for item in release.all("ConfigMap")
        }

    def content(self, kind, name, key):
        own = self.config_maps.get(name) if kind == "configMap" else None
        return own[key].encode() if own else self.existing[kind, name, key]

    def here(self, text):
        """A text of the pod, with its paths as they are on this machine."""
        return text.replace(MOUNTS, f"{self.place}{MOUNTS}")

    def mount(self, pod):
        """Writes the files that the pod mounts, and no other."""
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        for mount in pod["spec"]["containers"][0]["volumeMounts"]:
            volume = volumes[mount["name"]]
            kind = "secret" if "secret" in volume else "configMap"
            source = volume[kind]
            directory = Path(f"{self.place}{mount['mountPath']}")
            directory.mkdir(parents=True, exist_ok=True)
            for item in source["items"]:
                content = self.content(kind, source.get("secretName") or source["name"], item["key"])
                if item["key"] == "jobwire.toml":
                    content = self.here(content.decode()).encode()
                (directory / item["path"]).write_bytes(content)

    def environment(self, container):
        given = {"PATH": os.environ["PATH"]}
        for variable in container.get("env", []):
            value = variable.get("value")
            if value is None and "secretKeyRef" in variable["valueFrom"]:
                reference = variable["valueFrom"]["secretKeyRef"]
                value = self.existing["secret", reference["name"], reference["key"]].decode()
            given[variable["name"]] = self.here(value or "unknown")
        given["NATS_URL"] = self.nats_url
        return given

    def command(self, program, container):
        free = [re.sub(r"^(0\.0\.0\.0|\[::\]):\d+$", "127.0.0.1:0", text) for text in container["args"]]
        return [str(program), *map(self.here, free)]

    def start(self, program, pod, **options):
        self.mount(pod)
        container = pod["spec"]["containers"][0]
        return subprocess.Popen(
            self.command(program, container),
            env=self.environment(container),
            text=True,
            cwd=self.place,
            **options,
        )

    def run(self, program, pod):
        """Runs a pod that ends by itself; its exit code and all it said."""
        process = self.start(program, pod, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        told, _ = process.communicate(timeout=PATIENCE)
        return process.returncode, told


class Gateway:
    """A running gateway and its admin address; stopped when the block ends."""

    def __init__(self, node, program, pod):
        self.log = node.place / "log"
        self.container = pod["spec"]["containers"][0]
        with self.log.open("w") as log:
            self.process = node.start(program, pod, stdout=log, stderr=log)

    def __enter__(self):
        try:
            self.admin = eventually(lambda: self.told(r"^admin on (.+)$"), self.said)
        except BaseException:
            self.process.kill()
            raise
        return self

    def told(self, pattern):
        assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.said()}"
        found = re.search(pattern, self.said(), re.MULTILINE)
        return found and found[1]

    def said(self):
        return self.log.read_text()

    def probe(self, name):
        """Status of what the pod's probe asks for."""
        port = {port["name"]: port["containerPort"] for port in self.container["ports"]}
        asked = self.container[f"{name}Probe"]["httpGet"]
        listens = self.container["args"][self.container["args"].index("--admin-listen") + 1]
        assert listens.endswith(f":{port[asked['port']]}"), "the probe asks another port than the admin's"
        return status(f"http://{self.admin}{asked['path']}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=PATIENCE)

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def status(address):
    try:
        return urllib.request.urlopen(address, timeout=PATIENCE).status
    except urllib.error.HTTPError as error:
        return error.code


def eventually(question, explain):
    """The first answer that is true; what explains it, if none comes."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if answer := question():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"nothing after {PATIENCE} s:\n{explain()}")
