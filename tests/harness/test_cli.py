"""The command line: exit statuses, JSON, and one-screen messages for bad input, before anything starts."""

import json
import shutil

import pytest
import torch
from PIL import Image

from dfkd.config import ARCHITECTURES
from harness.cli.distill import accuracy_words
from harness.records import read_plans
from outcome import refused
from small import sets


def make_cub(root, *, size=32):
    """Write a tiny CUB_200_2011 of two classes with two training and two test images each."""
    folder = root / "CUB_200_2011"
    images, labels, split = [], [], []
    for number in range(1, 9):
        name = f"{(number + 3) // 4:03d}.Bird/{number}.jpg"
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (size, size), (number * 20, 0, 0)).save(path)
        images.append(f"{number} {name}")
        labels.append(f"{number} {(number + 3) // 4}")
        split.append(f"{number} {number % 2}")
    (folder / "images.txt").write_text("\n".join(images))
    (folder / "image_class_labels.txt").write_text("\n".join(labels))
    (folder / "train_test_split.txt").write_text("\n".join(split))
    (folder / "classes.txt").write_text("1 001.Bird\n2 002.Bird")
    return folder


def cub(command, root, store, *extra):
    size = ["--set", "data.image_size=32", "--set", "teacher.architecture=resnet8", "--set", "teacher.epochs=1"]
    data = ["--data-root", str(root), "--store", str(store)]
    return ["teacher", "cub200", *data, *size] if command == "teacher" else [
        command, "table3", "--dataset", "cub200", *data, *size, "--set", "student.architecture=resnet8", *extra
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plan", "tabel3"], ["tabel3", "Did you mean `table3`", "grids"]),
        (["plan", "no/such.toml"], ["no/such.toml"]),
        (["plan", "table3", "--budget", "dmeo"], ["dmeo", "Did you mean `demo`"]),
        (["plan", "table3", "--dataset", "digit"], ["data.dataset", "digit", "Did you mean `digits`"]),
        (
            ["plan", "table3", "--set", "student_loss.mhad.wieght=1"],
            ["wieght", "Did you mean `student_loss.mhad.weight`"],
        ),
        (["plan", "table3", "--set", "schedule.epochs=ten"], ["schedule.epochs", "an integer", "'ten'"]),
        (["plan", "table3", "--set", "data.image_size=50"], ["data.image_size", "multiple of 16", "50", "48"]),
        (["plan", "table3", "--set", "student_loss.mhad.weight=-1"], ["student_loss.mhad.weight", ">= 0", "-1"]),
        (["plan", "table3", "--set", "student.architecture=resnet81"], ["resnet81", "Did you mean `resnet8`"]),
        (["plan", "table3", "--seeds", "0,0"], ["--seeds", "0,0"]),
        (["teacher", "cub200"], ["--data-root", "CUB_200_2011"]),
        (["ablate", "table3", "--device", "cuda:99"], ["--device", "cuda:99"]),
    ],
)
def test_bad_words_on_the_command_line(run, tmp_path, arguments, words):
    store = tmp_path / "runs"
    refused(run(*arguments, "--store", str(store)), *words)
    assert not (store / "cells").exists()


@pytest.mark.parametrize(
    "arguments", [["plan"], ["plan", "table3", "--nonsense"], ["ablate", "table3", "--executor", "x"]]
)
def test_wrong_usage_exits_with_2(run, arguments):
    assert run(*arguments)[0] == 2


@pytest.mark.parametrize("command", ["teacher", "plan", "ablate", "report"])
class TestDataRoot:
    def test_missing(self, run, tmp_path, command):
        refused(run(*cub(command, tmp_path / "none", tmp_path / "runs")), str(tmp_path / "none"), "--data-root")

    def test_a_listed_file_is_missing(self, run, tmp_path, command):
        folder = make_cub(tmp_path)
        (folder / "images/001.Bird/2.jpg").unlink()
        refused(run(*cub(command, tmp_path, tmp_path / "runs")), "images.txt", "image 2", "001.Bird/2.jpg")

    def test_a_corrupt_jpeg(self, run, tmp_path, command):
        path = make_cub(tmp_path) / "images/001.Bird/2.jpg"
        path.write_bytes(path.read_bytes()[:200])
        refused(run(*cub(command, tmp_path, tmp_path / "runs")), "001.Bird/2.jpg", "decode")


def test_a_missing_teacher_is_named_with_the_command_that_makes_it(run, tmp_path):
    make_cub(tmp_path)
    outcome = run(*cub("ablate", tmp_path, tmp_path / "runs"))
    refused(outcome, "dfkd teacher cub200", "--set data.image_size=32", "--set teacher.epochs=1", "--data-root")


class TestTeacherCheckpoint:
    @pytest.fixture
    def path(self, store):
        return next((store / "teachers").glob("*/teacher.pt"))

    def ablate(self, run, store, *extra):
        return run("ablate", "table3", "--budget", "smoke", "--store", str(store), *sets(), *extra)

    def test_truncated(self, run, store, path):
        path.write_bytes(path.read_bytes()[:5000])
        refused(self.ablate(run, store), str(path), "5000 bytes", "dfkd teacher digits")

    def test_altered(self, run, store, path):
        content = torch.load(path)
        content["state"]["head.bias"] += 1
        torch.save(content, path)
        refused(self.ablate(run, store), "hash", str(path))

    def test_of_another_architecture(self, run, store, path, tmp_path):
        other = tmp_path / "other.pt"
        content = torch.load(path)
        content["recipe"]["teacher.architecture"] = "resnet14"
        torch.save(content, other)
        refused(self.ablate(run, store, "--teacher", str(other)), "resnet8", "resnet14", str(other))

    def test_one_that_is_named_must_exist(self, run, store):
        refused(self.ablate(run, store, "--teacher", "none.pt"), "none.pt", "--teacher")

    def test_a_good_one_is_checked_and_kept(self, run, store, path):
        before = path.read_bytes()
        status, output, _ = run("teacher", "digits", "--store", str(store), *sets())
        assert status == 0
        assert "Already trained" in output
        assert path.read_bytes() == before


@pytest.mark.parametrize("command", [["teacher", "digits"], ["ablate", "table3"], ["distill"]])
def test_a_store_that_cannot_be_written(run, tmp_path, command):
    (tmp_path / "file").write_text("")
    refused(run(*command, "--store", str(tmp_path / "file/runs")), str(tmp_path / "file/runs"), "--store")


def test_plan_as_json_starts_nothing(run, tmp_path):
    status, output, stderr = run(
        "plan", "table3", "--budget", "smoke", "--seeds", "0,1", "--json", "--store", str(tmp_path / "r")
    )
    content = json.loads(output)
    assert status == 0
    assert {key: content[key] for key in ("cells", "done", "todo", "failed")} == dict(cells=8, done=0, todo=8, failed=0)
    assert "dfkd teacher digits" in stderr
    assert not (tmp_path / "r").exists()


def test_status_of_a_store_that_is_not_there(run, tmp_path):
    status, output, stderr = run("status", "--json", "--store", str(tmp_path / "none"))
    assert (status, json.loads(output)["cells"]) == (0, 0)
    assert str(tmp_path / "none") in stderr


class TestLocalGrid:
    """The in-process executor, from plan to table."""

    def options(self, store, *extra):
        return ["--budget", "smoke", "--seeds", "0", "--store", str(store), *sets(), *extra]

    def test_a_grid_runs_and_a_second_one_runs_only_what_is_new(self, run, store):
        status, output, _ = run("ablate", "table3", *self.options(store), "--executor", "local")
        assert status == 0
        assert "4 of 4 cells done" in output
        status, output, _ = run("ablate", "table5", *self.options(store), "--executor", "local")
        assert status == 0
        assert "3 distinct cells: 1 done, 0 running, 2 to do" in output
        content = json.loads(run("status", "--store", str(store), "--json")[1])
        assert (content["cells"], content["done"], content["todo"], content["failed"]) == (6, 6, 0, 0)
        status, output, _ = run("ablate", "table5", *self.options(store), "--executor", "local")
        assert (status, "0 to do" in output) == (0, True)

    def test_students_on_real_images_stand_beside_the_data_free_one(self, run, store):
        status, output, _ = run("ablate", "upper_bounds", *self.options(store), "--executor", "local")
        assert status == 0
        assert "3 of 3 cells done" in output
        table = run("report", "upper_bounds", *self.options(store))[1]
        assert all(name in table for name in ("Real images, labels", "Real images, teacher", "DFKD-FGVC"))
        runs = run("report", "upper_bounds", *self.options(store), "--runs")[1]
        assert "3 of 3 planned runs done, 3 distinct cells" in runs
        pictured = [path.parent for path in (store / "cells").glob("*/samples.png")]
        assert len(pictured) == 1  # only a generator has something to show

    def test_a_failed_cell_is_listed_and_the_others_go_on(self, run, store, monkeypatch):
        import harness.cells

        real = harness.cells.distill

        def fails_without_sfcl(config, **kwargs):
            if config.student_loss.sfcl.weight == 0 and config.student_loss.mhad.weight > 0:
                raise RuntimeError("out of luck")
            return real(config, **kwargs)

        monkeypatch.setattr(harness.cells, "distill", fails_without_sfcl)
        status, output, stderr = run("ablate", "table3", *self.options(store), "--executor", "local")
        assert status == 1
        assert "3 of 4 cells done" in output
        assert "failed: + MHAD, seed 0: quarantined after 3 attempts: RuntimeError: out of luck" in stderr
        content = json.loads(run("status", "--store", str(store), "--json")[1])
        assert [content[key] for key in ("done", "failed", "quarantined", "todo")] == [3, 1, 1, 0]
        table = run("report", "table3", *self.options(store))[1]
        assert "+ MHAD " in table
        assert "0/1" in table
        monkeypatch.undo()
        again = ["ablate", "table3", *self.options(store), "--executor", "local"]
        assert run(*again)[0] == 1
        status, output, _ = run(*again, "--release")
        assert (status, "4 of 4 cells done" in output) == (0, True)

    def test_ctrl_c_says_how_to_resume(self, run, store, monkeypatch):
        import harness.cells

        def interrupted(*args, **kwargs):
            raise KeyboardInterrupt

        monkeypatch.setattr(harness.cells, "distill", interrupted)
        status, output, _ = run("ablate", "table3", *self.options(store), "--executor", "local")
        assert status == 130
        assert "Resume with the same command" in output
        assert json.loads(run("status", "--store", str(store), "--json")[1])["failed"] == 0

    def test_mlflow_out_of_reach_loses_nothing(self, run, store):
        uri = f"sqlite:///{store}/no/such/../../teachers"  # a folder
        status, output, _ = run("ablate", "table5", *self.options(store), "--executor", "local", "--tracking-uri", uri)
        assert status == 0
        assert "MLflow was not written" in output
        assert "3 of 3 cells done" in output

    def test_distill_is_a_cell_that_a_grid_finds_done(self, run, store):
        options = [option for option in self.options(store) if option not in ("--seeds", "0")]
        status, output, _ = run("distill", "--seed", "0", *options)
        assert status == 0
        (result,) = (json.loads(path.read_text()) for path in (store / "cells").glob("*/result.json"))
        last, mean, sd, best = (100 * result[name] for name in ("last", "final_mean", "final_sd", "best_on_test"))
        assert f"Test accuracy {last:.2f} % after the last epoch (teacher " in output
        assert f"  over the final 2 epochs: mean {mean:.2f} %, sd (n - 1) {sd:.2f}\n" in output
        chosen = f"after epoch {result['best_epoch']}, chosen on the test split (oracle)\n"
        assert f"  best on test: {best:.2f} % {chosen}" in output
        assert "epoch 2/2" in output
        content = json.loads(run("plan", "table3", *self.options(store), "--json")[1])
        assert [cell["status"] for cell in content["planned"]] == ["todo", "todo", "todo", "done"]

    def test_report_needs_neither_images_nor_teacher_once_a_grid_was_run(self, run, store):
        run("ablate", "table3", *self.options(store), "--executor", "local")
        before = run("report", "table3", *self.options(store), "--format", "csv")[1]
        shutil.rmtree(store / "teachers")
        assert run("report", "table3", *self.options(store), "--format", "csv")[1] == before
        assert len(before.splitlines()) == 5
        out = store / "new" / "t.tex"
        assert run("report", "table3", *self.options(store), "--format", "latex", "--out", str(out))[0] == 0
        assert "\\toprule" in out.read_text()
        assert [plan.grid for plan in read_plans(store)] == ["table3"]


def test_a_run_of_one_epoch_has_no_sd_to_tell():
    result = {"last": 0.5, "final_mean": 0.5, "final_sd": 0.0, "final_epochs": 1, "best_on_test": 0.5, "best_epoch": 1}
    assert accuracy_words(result, teacher=0.875).splitlines() == [
        "Test accuracy 50.00 % after the last epoch (teacher 87.50 %)",
        "  best on test: 50.00 % after epoch 1, chosen on the test split (oracle)",
    ]


class TestModels:
    def test_the_table_names_every_network_with_its_cost_and_maps(self, run):
        status, output, _ = run("models")
        assert status == 0
        assert "Networks for 200 classes at 224 x 224 pixels" in output
        lines = {cells[0]: cells for line in output.splitlines() if (cells := [c.strip() for c in line.split("│")[1:]])}
        assert set(ARCHITECTURES) <= lines.keys()
        # By the paper's Table 1: 1.82 G and 11 M parameters.
        assert lines["resnet18"][1:5] == ["11.28", "1.816", "64x56, 128x28, 256x14, 512x7", "512"]
        assert "as in the paper's Table 1" in output

    def test_json(self, run):
        status, output, _ = run("models", "--image-size", "32", "--classes", "10", "--json")
        content = json.loads(output)
        assert status == 0
        assert (content["image_size"], content["classes"]) == (32, 10)
        assert [network["name"] for network in content["networks"]] == list(ARCHITECTURES)
        network = content["networks"][ARCHITECTURES.index("wrn40_2")]
        assert network["parameters"] == 2_243_546
        assert network["stages"] == [
            {"path": f"stages.{i}", "channels": channels, "size": size}
            for i, (channels, size) in enumerate([(32, 32), (64, 16), (128, 8)])
        ]
        assert network["feature_size"] == 128
        assert 0 < network["multiply_accumulates"] < network["flops"]

    def test_an_image_size_that_no_network_takes(self, run):
        refused(run("models", "--image-size", "50"), "multiple of 16", "48", "50")

    def test_one_class_is_wrong_usage(self, run):
        assert run("models", "--classes", "1")[0] == 2
