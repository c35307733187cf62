"""Which operations the time of a generator step and of a student step goes into.

    python -m benchmarks.profile_step --set data.image_size=64 --set schedule.batch_size=32

A table for each kind of step, by PyTorch's own profiler: the operations with the most time of their own, over
`--rounds` steps after one that does not count. The networks have random weights.
"""

import argparse

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.step import configure, learners_of
from dfkd.allocation import memory_kept
from dfkd.steps import generator_step, student_step


def parse_arguments() -> argparse.Namespace:
    summary = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile_step", description=summary)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--rows", type=int, default=12, help="operations to print")
    parser.add_argument("--classes", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


@memory_kept()
def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    config = configure(arguments.set)
    learners = learners_of(config, classes=arguments.classes, device=device)
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    for name, step in (("Generator", generator_step), ("Student", student_step)):
        step(config, learners)
        with profile(activities=activities) as profiler:
            for _ in range(arguments.rounds):
                step(config, learners)
        print(f"{name} step, {arguments.rounds} of them:")
        print(
            profiler.key_averages().table(
                sort_by=f"self_{device.type}_time_total", row_limit=arguments.rows, max_name_column_width=48
            )
        )


if __name__ == "__main__":
    main()
