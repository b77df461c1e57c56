"""An agent with tools that judges whether a message is a scam, and tells each of its steps.

    python examples/agent.py my-task "Dear customer, pay 900 EUR at http://my-bank-login.xyz"

No language model and no network: a planner picks the tools by what it finds in the message. What is
shown is how such an agent reports. Needs nothing but jobwire. `JOBWIRE_URL` is the gateway's
address, unless it is http://127.0.0.1:8080.
"""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from jobwire import ProgressPublisher

MESSAGE = (
    "Dear customer, your account is blocked. Verify it within 24 hours at "
    "http://my-bank-login.xyz/verify or call +49 900 1234567, and pay 900 EUR."
)
CHEAP_ENDINGS = {"xyz", "top", "click", "zip"}
PREMIUM_NUMBERS = ("+49900", "+44909", "+1900")
KNOWN_PHRASES = ("account is blocked", "within 24 hours", "verify")


@dataclass
class Finding:
    """What a tool found out: how suspicious it is, 0 to 1, and why."""

    suspicion: float
    reason: str


def look_up_phrases(text: str) -> Finding:
    found = [phrase for phrase in KNOWN_PHRASES if phrase in text.lower()]
    return Finding(len(found) / len(KNOWN_PHRASES), f"known phrases: {', '.join(found) or 'none'}")


def judge_domain(address: str) -> Finding:
    host = urlsplit(address).hostname
    if host is None:
        raise ValueError(f"{address} has no host")
    signs = [host.rpartition(".")[2] in CHEAP_ENDINGS, host.count("-") > 1, "login" in host]
    return Finding(sum(signs) / len(signs), f"{host} has {sum(signs)} of {len(signs)} bad signs")


def judge_number(number: str) -> Finding:
    plain = re.sub(r"[^+\d]", "", number)
    is_premium = plain.startswith(PREMIUM_NUMBERS)
    return Finding(float(is_premium), f"{plain} is {'' if is_premium else 'not '}a premium number")


@dataclass
class Call:
    """A tool that the planner wants to be used, on what, and at which step."""

    step: str
    tool: str
    function: Callable[[str], Finding]
    argument: str


def plan(text: str) -> list[Call]:
    calls = [Call("scam_db", "scam_database", look_up_phrases, text)]
    for address in re.findall(r"https?://\S+", text):
        calls.append(Call("domain_reputation", "domain_reputation", judge_domain, address))
    for number in re.findall(r"\+\d[\d ]{6,}\d", text):
        calls.append(Call("phone_validator", "phone_validator", judge_number, number))
    return calls


def judge(text: str, progress: ProgressPublisher) -> str:
    progress.publish("Reading the message", 10, "entity_extraction")
    calls = plan(text)
    progress.publish(f"{len(calls)} tools are needed", 20, "entity_extraction")
    findings = []
    for number, call in enumerate(calls):
        percent = 30 + 40 * number / len(calls)
        progress.publish(f"Using {call.tool}", percent, call.step, tool=call.tool)
        try:
            finding = call.function(call.argument)
        except ValueError as failure:
            progress.publish(str(failure), percent, call.step, tool=call.tool, error=True)
            continue
        findings.append(finding)
        progress.publish(finding.reason, percent, call.step, tool=call.tool)
    progress.publish(f"Weighing {len(findings)} findings", 80, "reasoning")
    suspicion = max((finding.suspicion for finding in findings), default=0.0)
    verdict = "a scam" if suspicion >= 0.6 else "suspicious" if suspicion >= 0.3 else "harmless"
    return f"This is {verdict} ({suspicion:.0%})"


def main(task_id: str, text: str) -> None:
    with ProgressPublisher(task_id) as progress:
        try:
            verdict = judge(text, progress)
        except Exception as failure:
            progress.publish(f"The agent failed: {failure}", 0, "failed", error=True)
            raise
        progress.publish(verdict, 100, "completed")
    print(verdict)


if __name__ == "__main__":
    given = dict(enumerate(sys.argv))
    main(given.get(1, "agent-task"), given.get(2, MESSAGE))
