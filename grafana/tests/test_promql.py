"""The tests' own reading of PromQL."""

from promql import names, operands, ranges, selectors


def test_names_are_metrics_and_neither_functions_labels_nor_words():
    query = 'sum by (job) (rate(a_total{x="b{}"}[5m])) / on (job) group_left (le) c:d:e and on (x) f > 2 or vector(0)'
    assert names(query) == {"a_total", "c:d:e", "f"}


def test_selectors_come_with_their_matchers():
    assert sorted(selectors('a{x="}", y=~"$job"} - a + b')) == [
        ("a", ""),
        ("a", 'x="}", y=~"$job"'),
        ("b", ""),
    ]


def test_ranges_come_with_their_function():
    query = 'sum(rate(a{x="[1m]"}[$__rate_interval])) / max_over_time(b[5m])'
    assert ranges(query) == [("rate", "$__rate_interval"), ("max_over_time", "5m")]


def test_operands_of_a_condition_are_what_is_compared():
    assert operands("a / b > 0.9\nand on (job, x) c{y='>'} unless ignoring (z) d == 0") == [
        "a / b",
        "c{y='>'}",
        "d",
    ]


def test_operands_in_brackets_are_taken_apart():
    query = "((a > 14.4 * 0.01 and b > 2) or (c > 1)) and sum(d{x=~'(p|q) > 1'} > 0) >= 5"
    assert operands(query) == ["a", "b", "c", "sum(d{x=~'(p|q) > 1'} > 0)"]


def test_what_is_no_condition_is_its_only_operand():
    assert operands("(a + b) / (c + d)") == ["(a + b) / (c + d)"]
    assert operands("absent(a)") == ["absent(a)"]


def test_a_sum_that_is_compared_keeps_its_brackets():
    assert operands("(a + b) / (c + d) != bool 3") == ["(a + b) / (c + d)"]
