"""As much of PromQL as the checks need: names, selectors, and the operands of a condition."""

import re

QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
# A word that calls nothing; those of the language are taken out afterwards.
NAME = re.compile(r"(?<![\w:$.])([a-zA-Z_:][\w:]*)(?![\w:]*\s*\()")
WORDS = {
    "and",
    "or",
    "unless",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "by",
    "without",
    "bool",
    "offset",
    "inf",
    "nan",
}
LABELS = re.compile(r"\b(on|ignoring|group_left|group_right|by|without)\s*\([^()]*\)")
CONDITION = re.compile(
    r"\b(?:and|or|unless)\b(?:\s*(?:on|ignoring)\s*\([^()]*\))?"
    r"|(?:[<>]=?|[!=]=)(?:\s*bool\b)?(?:\s*(?:on|ignoring)\s*\([^()]*\))?"
)


def without_comments(query):
    return re.sub(r"(?m)^\s*#.*\n", "", query)


def names(query):
    """Metrics and recorded series that a query reads."""
    query = without_comments(query)
    bare = re.sub(r"\{[^{}]*\}|\[[^\[\]]*\]", " ", QUOTED.sub('""', query))
    bare = LABELS.sub(" ", bare)
    return {name for name in NAME.findall(bare) if name.lower() not in WORDS}


def selectors(query):
    """Every name that a query reads, each time it does, with the text of its matchers."""
    blank = QUOTED.sub(lambda quoted: '"' + "_" * (len(quoted[0]) - 2) + '"', query)
    found = []
    for name in names(query):
        for place in re.finditer(rf"(?<![\w:]){re.escape(name)}(?![\w:])", blank):
            opened = blank[place.end() : place.end() + 1] == "{"
            end = blank.index("}", place.end()) if opened else place.end()
            found.append((name, query[place.end() + 1 : end]))
    return found


def ranges(query):
    """Functions over a range, with the range: rate, 5m."""
    blank = QUOTED.sub('""', query)
    return re.findall(r"\b(\w+)\s*\([\w:]+(?:\{[^{}]*\})?\[([^\[\]]+)\]", blank)


def operands(query):
    """The parts of a condition that have values when all is well.

    A condition is empty as long as it does not hold, so running it shows nothing. Its operands are what stands
    between comparisons and and/or/unless that lie in no brackets; an operand that is in brackets as a whole is
    taken apart in the same way, and plain numbers are left out. `a / b > 0.9 and on (job) c` gives `a / b`, `c`.
    """
    parts, depth, start, at = [], 0, 0, 0
    query = without_comments(query).strip()
    while at < len(query):
        if quoted := QUOTED.match(query, at):
            at = quoted.end()
        elif query[at] in "([{":
            depth, at = depth + 1, at + 1
        elif query[at] in ")]}":
            depth, at = depth - 1, at + 1
        elif depth == 0 and (found := CONDITION.match(query, at)) and found.end() > at:
            parts.append(query[start:at])
            start = at = found.end()
        else:
            at += 1
    parts.append(query[start:])
    parts = [part.strip() for part in parts]
    if len(parts) == 1:
        inner = query[1:-1] if encloses(query) else None
        return operands(inner) if inner else [query]
    return [operand for part in parts if names(part) for operand in operands(part)]


def encloses(query):
    """Whether the first bracket is closed by the last character."""
    if not query.startswith("("):
        return False
    depth = 0
    for at, character in enumerate(QUOTED.sub(lambda quoted: "_" * len(quoted[0]), query)):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return at == len(query) - 1
    return False
