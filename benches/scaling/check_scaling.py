"""Tests of the cost model and of its simulation."""

import dataclasses
import json
import pathlib
import subprocess
import sys
import unittest

import constants
import model
import simulate
import tables
from model import Load, Machines

HERE = pathlib.Path(__file__).resolve().parent
THREE = Machines()
LEAST = Machines(balancer="least")


def program(name, *arguments):
    """Runs one of the programs, as a reader would."""
    return subprocess.run(
        [sys.executable, HERE / name, *map(str, arguments)], capture_output=True, text=True, check=False
    )


class Constants(unittest.TestCase):
    def test_a_measured_figure_lies_between_its_smallest_and_its_largest_round(self):
        for name, constant in constants.CONSTANTS.items():
            self.assertGreater(constant.value, 0, name)
            if constant.low is not None:
                self.assertTrue(constant.low <= constant.value <= constant.high, name)

    def test_every_measured_figure_names_a_command_that_is_there(self):
        for name, constant in constants.CONSTANTS.items():
            if constant.known == "measured":
                words = constant.source.split()
                self.assertIn(words[0], ("measure.py", "jobwire"), name)
                if words[0] == "measure.py":
                    self.assertIn(f'"{words[1]}": ', (HERE / "measure.py").read_text(), name)

    def test_what_is_read_from_a_file_names_one_that_is_there(self):
        for name, constant in constants.CONSTANTS.items():
            if constant.known == "read":
                self.assertTrue(list(HERE.parents[1].glob(constant.source + "*")), name)


class Model(unittest.TestCase):
    def test_a_laptop_needs_one_gateway_and_one_server(self):
        plan = model.plan(Load(20, 5, 10), Machines(servers=1))
        self.assertEqual((plan["pods"], plan["fits"], plan["partitions"]), (1, True, 1))

    def test_no_pod_has_more_watchers_or_work_than_it_may(self):
        for watchers in (1_000, 50_000, 1_000_000):
            for rate in (10, 1_000):
                plan = model.plan(Load(watchers, 1_000, rate), THREE)
                self.assertLessEqual(plan["watchersPerPod"], THREE.per_pod)
                self.assertLessEqual(sum(plan["cores"].values()), THREE.target * THREE.cores)
                self.assertLessEqual(plan["coresAtPeak"], model.FULLEST * THREE.cores)
                self.assertGreaterEqual(plan["maxConnections"], plan["fullestPod"])

    def test_one_gateway_less_would_be_too_few(self):
        for load in (Load(70_000, 100, 100), Load(20_000, 20, 2_000), Load(100_000, 10, 1_000)):
            pods, because = model.least_pods(load, THREE)
            self.assertEqual(model.binding(load, THREE, pods), [])
            self.assertEqual(model.binding(load, THREE, pods - 1), because)

    def test_more_watchers_never_need_fewer_gateways_nor_more_events_a_smaller_window(self):
        pods = [model.least_pods(Load(watchers, 500, 500), THREE)[0] for watchers in range(1_000, 200_000, 9_000)]
        self.assertEqual(pods, sorted(pods))
        windows = [model.window_bytes(Load(1, 1, rate)) for rate in range(1, 20_000, 500)]
        self.assertEqual(windows, sorted(windows))

    def test_a_window_holds_what_was_missed_while_away(self):
        for rate in (10, 1_000, 7_777):
            load = Load(1, 1, rate, away=90)
            self.assertGreaterEqual(model.window_seconds(load, model.window_bytes(load)), 90)

    def test_pods_that_watch_a_job_are_between_one_and_its_watchers(self):
        self.assertAlmostEqual(model.pods_of_a_job(Load(1_000_000, 1_000_000, 1), 100), 1, places=6)
        self.assertAlmostEqual(model.pods_of_a_job(Load(1_000_000, 1_000, 1), 100), 100, places=1)
        self.assertTrue(9 < model.pods_of_a_job(Load(1_000_000, 100_000, 1), 100) < 10)

    def test_tails_cost_as_much_as_all_deliveries_at_the_break_even(self):
        rate, pods = 2_000.0, 50
        ratio = (model.at("tail_pod", rate) + model.at("tail_broker", rate)) * 1e6 / model.value("delivery")
        load = Load(round(ratio * pods * 100), 100, rate)
        seconds = model.pod_seconds(load, pods, load.watchers / pods)["deliveries"]
        self.assertAlmostEqual(
            seconds, rate * (model.at("tail_pod", rate) + model.at("tail_broker", rate)), delta=seconds / 50
        )

    def test_republishing_pays_from_the_rate_that_is_told_on_and_not_below(self):
        for what in ("cores", "egressGbit"):
            rate = model.republish_pays_from(1_000_000, 1_000_000, 100, what)
            for factor, pays in ((0.9, False), (1.1, True)):
                found = model.alternatives(Load(1_000_000, 1_000_000, rate * factor), 100, 16)
                self.assertEqual(found["republish"][what] < found["one tail"][what], pays)
        self.assertIsNone(model.republish_pays_from(1_000_000, 1_000, 100, "cores"))

    def test_a_rate_that_is_most_is_carried_and_a_tenth_more_is_not(self):
        for pods in (2, 20, 100):
            rate, name = model.most_rate(pods, THREE)
            self.assertTrue(name)
            for factor, fits in ((0.99, True), (1.1, False)):
                load = Load(pods, pods, rate * factor)
                over = model.nats_over(model.nats(load, THREE, pods), THREE) or not model.tail_fits(load, THREE)
                self.assertEqual(not over, fits, (pods, factor))

    def test_partitions_are_told_where_one_tail_for_each_pod_is_too_much(self):
        plan = model.plan(Load(1_000_000, 1_000_000, 20_000), LEAST)
        self.assertFalse(plan["fits"])
        self.assertGreater(plan["partitions"], 1)

    def test_a_cost_is_that_of_the_nearest_measured_rate_beyond_them(self):
        points = {100.0: 8.0, 10_000.0: 2.0}
        for rate, cost in ((1, 8), (100, 8), (1_000, 4), (10_000, 2), (1e6, 2)):
            self.assertAlmostEqual(model.between(points, rate), cost)


class Simulation(unittest.TestCase):
    load = Load(40_000, 4_000, 1_000)

    def restart(self, balancer="random", **further):
        return simulate.restart(self.load, Machines(balancer=balancer), 20, **{"group": 10, **further})

    def test_a_seed_decides_everything(self):
        self.assertEqual(self.restart(seed=7), self.restart(seed=7))
        self.assertNotEqual(self.restart(seed=7), self.restart(seed=8))

    def test_every_watcher_comes_back_at_least_once_and_with_the_least_loaded_first_only_once(self):
        self.assertGreater(self.restart()["comebacksPerWatcher"], 1.2)
        self.assertLess(self.restart("least")["comebacksPerWatcher"], 1.1)

    def test_the_fullest_pod_is_about_that_of_the_model_and_never_much_above(self):
        for balancer, surge, least in (("random", 1, 0.85), ("least", 1, 0.85), ("random", 5, 0.6)):
            run = self.restart(balancer, surge=surge, group=4)
            share = run["fullestOverMean"] / run["modelFullestOverMean"]
            self.assertTrue(least < share < 1.05, (balancer, surge, share))

    def test_who_comes_back_after_a_crash_waits_as_long_as_the_model_says(self):
        slow = Machines(cores=0.2)
        run = simulate.crash(self.load, slow, 20, 10)
        self.assertGreater(run["modelSeconds"], simulate.FIRST_BACK_OFF)
        self.assertAlmostEqual(run["allBack"], run["modelSeconds"], delta=0.15 * run["modelSeconds"])

    def test_a_window_that_is_too_short_sends_everybody_to_jetstream(self):
        self.assertEqual(simulate.crash(self.load, THREE, 20, 5)["pages"], 0)
        self.assertGreater(simulate.crash(self.load, THREE, 20, 5, window=10, away=60)["pages"], 500)

    def test_quiet_jobs_are_asked_for_on_new_pods(self):
        quiet = dataclasses.replace(self.load, rate=0.4)
        self.assertGreater(simulate.restart(quiet, LEAST, 20)["questions"], 20_000)
        self.assertEqual(self.restart("least")["questions"], 0)

    def test_a_hundred_tails_keep_up_below_the_ceiling_and_fall_behind_above_it(self):
        most = model.value("stream_ceiling") / model.busiest(100, 3)
        self.assertTrue(simulate.tails(Load(1_000_000, 10_000, most / 2), THREE, 100)["keepsUp"])
        self.assertFalse(simulate.tails(Load(1_000_000, 10_000, most * 1.5), THREE, 100)["keepsUp"])

    def test_the_busiest_server_has_about_as_many_tails_as_the_model_says(self):
        runs = [
            simulate.tails(Load(1_000, 100, 10), THREE, 100, seconds=1, seed=seed)["busiestServerHas"]
            for seed in range(200)
        ]
        self.assertAlmostEqual(sum(runs) / len(runs), model.busiest(100, 3), delta=3)


class Programs(unittest.TestCase):
    def test_the_model_answers_in_words_and_in_json(self):
        words = program("model.py", "--watchers", 1_000, "--jobs", 10, "--rate", 10)
        self.assertIn("gateways", words.stdout)
        answer = json.loads(program("model.py", "--watchers", 1_000, "--jobs", 10, "--rate", 10, "--json").stdout)
        self.assertEqual(answer["load"]["watchers"], 1_000)

    def test_wrong_arguments_are_named(self):
        for arguments, named in (
            (("--watchers", 0, "--jobs", 1, "--rate", 1), "--watchers"),
            (("--jobs", 1, "--rate", 1), "--watchers"),
            (("--watchers", 1, "--jobs", 1, "--rate", "many"), "--rate"),
        ):
            run = program("model.py", *arguments)
            self.assertEqual(run.returncode, 2)
            self.assertIn(named, run.stderr)

    def test_the_simulation_answers_in_json(self):
        run = program("simulate.py", "restart", "--pods", 5, "--watchers", 5_000)
        self.assertEqual(json.loads(run.stdout)["what"], "restart")


class Document(unittest.TestCase):
    def test_the_tables_are_those_of_the_model(self):
        there = tables.DOCUMENT.read_text(encoding="utf-8")
        self.assertEqual(there, tables.with_tables(there), "benches/scaling/tables.py --write")


if __name__ == "__main__":
    unittest.main()
