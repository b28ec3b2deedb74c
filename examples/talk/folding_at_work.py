"""A campaign like Folding@Work: many trajectories, each a chain of runs that goes on as soon as one comes back.

    python folding_at_work.py GOMODEL NATIVE.pdb [--clones N] [--generations N] [--steps N] [--port P] [--name PROJECT]
"""

import argparse
import json
import os
import statistics
import tempfile

from work_queue import WORK_QUEUE_SCHEDULE_TIME, Task, WorkQueue


class Trajectory:
    """One clone and how far it is."""

    def __init__(self, clone, directory):
        self.clone = clone
        self.generation = 0
        self.directory = directory
        self.contacts = []

    def state(self, generation):
        """Where the state after a generation is."""
        return os.path.join(self.directory, "clone%d-gen%d.state" % (self.clone, generation))

    def task(self, program, native, steps):
        """The next run."""
        words = ["./gomodel step --native native.pdb --out next.state --temperature 0.85"]
        words.append("--steps %d --seed %d" % (steps, self.clone + 1))
        if self.generation:
            words.append("--state last.state")
        task = Task(" ".join(words))
        task.specify_tag("%d.%d" % (self.clone, self.generation))
        task.specify_category("md")
        task.specify_input_file(program, "gomodel")
        task.specify_input_file(native, "native.pdb")
        if self.generation:
            task.specify_input_file(self.state(self.generation - 1), "last.state")
        task.specify_output_file(self.state(self.generation), "next.state")
        return task


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("native")
    parser.add_argument("--clones", type=int, default=20)
    parser.add_argument("--generations", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--port", type=int, default=9123)
    parser.add_argument("--name", default="folding-at-work")
    given = parser.parse_args()

    queue = WorkQueue(given.port)
    queue.specify_name(given.name)
    queue.specify_algorithm(WORK_QUEUE_SCHEDULE_TIME)
    queue.activate_fast_abort(3)
    print("listening on port %d" % queue.port, flush=True)
    minutes, workers = [], set()
    with tempfile.TemporaryDirectory() as directory:
        trajectories = [Trajectory(clone, directory) for clone in range(given.clones)]
        for trajectory in trajectories:
            queue.submit(trajectory.task(given.program, given.native, given.steps))
        while not queue.empty():
            task = queue.wait(5)
            if task is None:
                continue
            trajectory = trajectories[int(task.tag.split(".")[0])]
            if task.result == 0 and task.return_status == 0:
                trajectory.contacts.append(json.loads(task.output)["contacts"])
                trajectory.generation += 1
                minutes.append(task.cmd_execution_time / 60e6)
                workers.add(task.hostname)
            else:
                print("run %s: %s %d, once more" % (task.tag, task.result_str, task.return_status))
            if trajectory.generation < given.generations:
                queue.submit(trajectory.task(given.program, given.native, given.steps))
    stats = queue.stats
    print("Tasks Assigned                  %d" % stats.tasks_dispatched)
    print("Results received                %d" % len(minutes))
    print("Execution time average (min)    %.4f" % statistics.mean(minutes))
    print("Execution time std. dev (min)   %.4f" % statistics.pstdev(minutes))
    print("Number of workers               %d" % len(workers))
    print("Contacts at the end, average    %.3f" % statistics.mean(one.contacts[-1] for one in trajectories))


if __name__ == "__main__":
    main()
