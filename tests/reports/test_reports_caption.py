"""What a table's caption says, and what it leaves out."""

from dataclasses import replace

import pytest

from rendered import CONTEXT, PLAN, VALUES, make_frame, make_plan, write
from reports.render import caption


def test_the_caption_says_that_a_teacher_was_imported():
    plan = replace(PLAN, context=CONTEXT | {"teacher_origin": "birds.pth"})
    text = caption(plan, make_frame(plan, VALUES), "last")
    assert "Models: teacher resnet20 (98.33%, imported from birds.pth), student resnet14." in text


@pytest.mark.parametrize("format", ["terminal", "markdown", "latex"])
def test_missing_runs_are_in_the_caption(format):
    assert "3 of 8 runs missing (3 failed)." in write(PLAN, VALUES, format).replace("\n", " ")
    assert "missing" not in write(PLAN, [0.5] * 8, format)


def test_caption_counts_todo_as_missing_but_not_as_failed():
    frame = make_frame(PLAN, VALUES)
    frame.loc[7, "status"] = "todo"
    assert caption(PLAN, frame, "last").endswith(". 3 of 8 runs missing (2 failed).")
    assert caption(PLAN, frame[:4], "last").endswith(". 4 of 8 runs missing (0 failed).")


def test_runs_that_diverged_are_named_in_the_caption_and_not_missing():
    frame = make_frame(PLAN, VALUES)
    line = frame.index[frame["status"] == "failed"][0]
    frame.loc[line, "status"] = "diverged"
    row, seed = frame.loc[line, ["row", "seed"]]
    told = f"1 of 8 runs diverged, so that they have no accuracy: {row}, seed {seed}."
    assert caption(PLAN, frame, "last").endswith(f". 2 of 8 runs missing (2 failed). {told}")


def test_caption_names_the_selection():
    frame = make_frame(PLAN, VALUES).assign(best_on_test=0.5, final_mean=0.5)
    assert "; accuracy after the last epoch." in caption(PLAN, frame, "last")
    assert "; mean accuracy over the final epochs of each run." in caption(PLAN, frame, "final_mean")
    assert "; best epoch on the test split (oracle)." in caption(PLAN, frame, "best_on_test")


def test_caption_of_one_seed_speaks_of_no_sd():
    plan = make_plan(["a", "b"], seeds=(3,))
    text = caption(plan, make_frame(plan, [0.5, 0.5]), "last")
    assert "Accuracy: seed 3 alone; accuracy after the last epoch." in text
    assert "sd" not in text


def test_caption_names_the_settings():
    plan = make_plan(["a", "b"], settings={"batch_size": 8, "student.lr": 0.1})
    assert " Settings: batch_size = 8, student.lr = 0.1. " in caption(plan, make_frame(plan, [0.5] * 4), "last")


def test_caption_leaves_out_what_the_plan_does_not_say():
    plan = replace(PLAN, context={})
    assert caption(plan, make_frame(plan, VALUES), "last").startswith("Losses. Accuracy: mean")
    plan = replace(PLAN, context={"teacher": "resnet20", "epochs": 3})
    assert caption(plan, make_frame(plan, VALUES), "last").startswith(
        "Losses. Models: teacher resnet20. Training: 3 epochs. Accuracy:"
    )
