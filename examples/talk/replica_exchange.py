"""Replica exchange, as the talk's application does it: rounds of short runs, and exchanges between neighbours.

    python replica_exchange.py GOMODEL NATIVE.pdb [--replicas N] [--rounds N] [--steps N] [--port P] [--name PROJECT]
"""

import argparse
import json
import math
import os
import random
import tempfile

from work_queue import WORK_QUEUE_SCHEDULE_RAND, Task, WorkQueue

COLDEST, HOTTEST = 0.75, 0.95


def temperatures(count):
    """A ladder in which neighbours have a constant ratio."""
    ratio = (HOTTEST / COLDEST) ** (1.0 / (count - 1))
    return [COLDEST * ratio**rung for rung in range(count)]


def make_task(program, native, replica, temperature, states, steps):
    """One run of one replica; the same object is submitted round after round."""
    state = os.path.join(states, "%d.state" % replica)
    task = Task("")
    task.specify_tag(str(replica))
    task.specify_input_file(program, "gomodel")
    task.specify_input_file(native, "native.pdb")
    task.specify_output_file(state, "next.state")
    prepare(task, temperature, steps, seed=replica + 1, state=None)
    return task


def prepare(task, temperature, steps, seed, state):
    """What the next run does."""
    words = ["./gomodel step --native native.pdb --out next.state"]
    if state is not None:
        words.append("--state last.state")
    words.append("--temperature %r --steps %d --seed %d" % (temperature, steps, seed))
    task.specify_command(" ".join(words))


def run_round(queue, tasks):
    """Submits all replicas and waits for them; a run that fails is submitted again."""
    for task in tasks:
        queue.submit(task)
    energies = {}
    while not queue.empty():
        task = queue.wait(5)
        if task is None:
            continue
        if task.result != 0 or task.return_status != 0:
            print("replica %s: %s %d, once more" % (task.tag, task.result_str, task.return_status))
            queue.submit(task)
            continue
        energies[int(task.tag)] = json.loads(task.output)["energy"]
    return energies


def exchange(ladder, at, energies, first, dice):
    """Exchanges neighbours by the rule of Metropolis; returns tries and acceptances. ``at[rung]`` is a replica."""
    tries = accepted = 0
    for low in range(first, len(ladder) - 1, 2):
        high = low + 1
        delta = (1 / ladder[low] - 1 / ladder[high]) * (energies[at[low]] - energies[at[high]])
        tries += 1
        if delta >= 0 or dice.random() < math.exp(delta):
            at[low], at[high] = at[high], at[low]
            accepted += 1
    return tries, accepted


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("native")
    parser.add_argument("--replicas", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--port", type=int, default=9123)
    parser.add_argument("--name", default="replica-exchange")
    given = parser.parse_args()

    queue = WorkQueue(given.port)
    queue.specify_name(given.name)
    queue.specify_algorithm(WORK_QUEUE_SCHEDULE_RAND)
    print("listening on port %d" % queue.port, flush=True)
    ladder = temperatures(given.replicas)
    at = list(range(given.replicas))
    dice = random.Random(1)
    tries = accepted = 0
    with tempfile.TemporaryDirectory() as states:
        tasks = [
            make_task(given.program, given.native, replica, ladder[replica], states, given.steps)
            for replica in range(given.replicas)
        ]
        for round_number in range(given.rounds):
            energies = run_round(queue, tasks)
            tried, won = exchange(ladder, at, energies, round_number % 2, dice)
            tries, accepted = tries + tried, accepted + won
            told = " ".join("%8.2f" % energies[at[rung]] for rung in range(given.replicas))
            print("round %2d: energies by temperature %s" % (round_number + 1, told), flush=True)
            for rung, replica in enumerate(at):
                state = os.path.join(states, "%d.state" % replica)
                if round_number == 0:
                    tasks[replica].specify_input_file(state, "last.state")
                prepare(tasks[replica], ladder[rung], given.steps, replica + 1, state)
    print("exchanges: %d of %d accepted" % (accepted, tries))


if __name__ == "__main__":
    main()
