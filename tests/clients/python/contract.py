"""What each system's contract says of the messages that its clients receive.

Whatever is not so is a violation; fields that a client of the system would overlook are overlooked.
"""

import json
import re
from datetime import datetime


class Violation(Exception):
    """A message that the contract does not allow."""


def claim(holds, what, seen):
    if not holds:
        raise Violation(f"{what}: {seen!r}")


def string(value):
    return isinstance(value, str)


def integer(value):
    return isinstance(value, int) and not isinstance(value, bool)


def number(value):
    return integer(value) or isinstance(value, float)


def mapping(value):
    return isinstance(value, dict)


def sequence(value):
    return isinstance(value, list)


def truth(value):
    return isinstance(value, bool)


def time(value):
    if not string(value):
        return False
    # Before Python 3.11 neither Z nor nanoseconds can be read.
    plain = re.sub(r"(\.\d{1,6})\d*", r"\1", value.replace("Z", "+00:00"))
    try:
        return "T" in value and datetime.fromisoformat(plain) is not None
    except ValueError:
        return False


def exactly(wanted):
    return lambda value: type(value) is type(wanted) and value == wanted


def one(*wanted):
    return lambda value: string(value) and value in wanted


def check(message, required, optional=None):
    """Checks the types of fields that must be there and of fields that may be."""
    claim(mapping(message), "not an object", message)
    for name, fits in required.items():
        claim(name in message, f"{name} is missing", message)
        claim(fits(message[name]), f"{name} is wrong", message)
    for name, fits in (optional or {}).items():
        claim(name not in message or fits(message[name]), f"{name} is wrong", message)


def parse(text):
    claim(string(text), "not a text message", text)
    try:
        return json.loads(text)
    except ValueError as error:
        raise Violation(f"not JSON: {text}") from error


class OptimizationContract:
    def __init__(self, job, after):
        self.job = job
        self.last = after or 0

    def receive(self, text):
        message = parse(text)
        ours = {"jobId": exactly(self.job)}
        check(message, {"type": string})
        match message["type"]:
            case "subscribed" | "unsubscribed":
                check(message, ours)
            case "pong":
                pass
            case "error":
                check(message, {"error": string}, ours)
            case "event":
                check(message, {"event": mapping, **ours})
                self.event(message["event"])
            case "replay":
                check(message, {"data": sequence}, ours)
                for event in message["data"]:
                    self.event(event)
            case _:
                raise Violation(f"an unknown type: {message!r}")
        return message

    def event(self, event):
        required = {"id": integer, "eventType": string, "timestamp": time}
        check(event, required, {"iteration": number, "stage": string, "data": mapping})
        claim(event["id"] > self.last, f"not after {self.last}", event)
        self.last = event["id"]


class BeamSearchContract:
    def __init__(self, job):
        self.job = job

    def receive(self, text):
        message = parse(text)
        check(message, {"type": string, "jobId": exactly(self.job), "timestamp": time})
        match message["type"]:
            case "started":
                check(message, {"config": mapping})
                sizes = {"N": integer, "M": integer, "iterations": integer}
                check(message["config"], {"prompt": string, **sizes})
            case "iteration":
                counts = {"iteration": integer, "totalIterations": integer}
                check(message, {"status": string, "dimension": one("what", "how"), **counts})
            case "candidate":
                counts = {"iteration": integer, "candidateId": integer, "totalCandidates": integer}
                check(message, {"score": mapping, **counts})
                names = ("totalScore", "alignmentScore", "aestheticScore")
                check(message["score"], {name: number for name in names})
            case "complete":
                check(message, {"result": mapping})
                result = {"bestCandidate": mapping, "iterations": integer, "duration": number}
                check(message["result"], result)
                names = ("whatPrompt", "howPrompt", "combinedPrompt", "imagePath")
                best = {name: string for name in names}
                check(message["result"]["bestCandidate"], {"totalScore": number, **best})
            case "error":
                check(message, {"error": mapping})
                check(message["error"], {"message": string, "code": string})
            case _:
                raise Violation(f"an unknown type: {message!r}")
        return message


class TrainingContract:
    def __init__(self, job):
        is_number = re.fullmatch(r"0|[1-9][0-9]*", job) and int(job) < 2**53
        self.job = int(job) if is_number else job
        self.messages = 0
        self.has_loss = False
        self.is_final = False

    def receive(self, text):
        message = parse(text)
        claim(not self.is_final, "a message after the final one", message)
        counts = {"progress": number, "current_epoch": number, "total_epochs": number}
        check(message, {"type": string, "job_id": exactly(self.job), "timestamp": time, **counts})
        claim(0 <= message["progress"] <= 1, "progress is not between 0 and 1", message)
        self.has_loss = self.has_loss or number(message.get("current_loss"))
        loss = {"current_loss": number} if self.has_loss else {}
        match message["type"]:
            case "progress":
                known = ("pending", "running", "paused", "succeeded", "failed", "stopped")
                check(message, {"status": one(*known), **loss})
                self.is_final = message["status"] == "stopped"
            case "log":
                check(message, {"level": string, "message": string})
            case "complete":
                result = {"model_id": string, "final_metrics": mapping}
                check(message, {"status": one("succeeded"), **result})
                self.is_final = True
            case "error":
                check(message, {"status": one("failed"), "error_message": string})
                self.is_final = True
            case _:
                raise Violation(f"an unknown type: {message!r}")
        claim(self.messages > 0 or message["type"] == "progress", "not the status first", message)
        self.messages += 1
        return message

    def closed(self, code):
        claim(self.is_final and code == 1000, "closed before the end, or not with 1000", code)


class TrainingResourceContract(TrainingContract):
    """The same run as a resource that is polled."""

    def receive(self, text):
        state = parse(text)
        known = ("pending", "running", "paused", "succeeded", "failed", "stopped")
        counts = {"progress": number, "current_epoch": number, "total_epochs": number}
        required = {"job_id": exactly(self.job), "status": one(*known), **counts}
        check(state, required, {"current_loss": number})
        claim(0 <= state["progress"] <= 1, "progress is not between 0 and 1", state)
        if state["status"] == "succeeded":
            check(state, {"model_id": string, "final_metrics": mapping})
        if state["status"] == "failed":
            check(state, {"error_message": string})
        self.is_final = state["status"] in ("succeeded", "failed", "stopped")
        return state


class AgentContract:
    FIRST = "Connected to agent progress stream"

    def __init__(self):
        self.messages = 0
        self.is_final = False

    def receive(self, text):
        message = parse(text)
        claim(not self.is_final, "a message after the final one", message)
        claim(mapping(message), "not an object", message)
        if "heartbeat" in message:
            check(message, {"heartbeat": exactly(True), "timestamp": time})
            claim(len(message) == 2, "a heartbeat with more to it", message)
            claim(self.messages > 0, "a heartbeat before the first message", message)
            return message
        required = {"step": string, "message": string, "percent": integer, "timestamp": time}
        check(message, required, {"tool": string, "error": truth})
        claim(0 <= message["percent"] <= 100, "percent is not between 0 and 100", message)
        self.step(message)
        self.messages += 1
        return message

    def step(self, message):
        step, percent, error = message["step"], message["percent"], message.get("error", False)
        is_first = self.messages == 0
        claim(is_first == (step == "connected"), "connected is first, and only first", message)
        if is_first:
            claim(message["message"] == self.FIRST and percent == 0, "another beginning", message)
        if step == "completed":
            claim(percent == 100 and not error, "completed, but not at 100", message)
        if step == "failed":
            claim(percent == 0 and error, "failed, but no error", message)
        self.is_final = step in ("completed", "failed")

    def closed(self, code):
        claim(self.is_final and code == 1000, "closed before the end, or not with 1000", code)


def is_final(event):
    """Whether no event of a job follows this one, unless it is run again."""
    if event["eventType"] == "job_failed":
        return event.get("data", {}).get("willRetry") is not True
    return event["eventType"] in ("job_completed", "job_cancelled")
