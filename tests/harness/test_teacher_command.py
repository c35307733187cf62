"""``dfkd teacher`` with a teacher from elsewhere, or one that starts from ImageNet weights."""

import json
from urllib.error import URLError

import pytest
import torch
from torchvision.models import resnet18, vgg11_bn

from outcome import refused
from small import sets


class TestForeignTeacher:
    """``dfkd teacher --checkpoint``: what lies at the teacher's place never changes unasked."""

    @pytest.fixture
    def path(self, store):
        return next((store / "teachers").glob("*/teacher.pt"))

    @pytest.fixture
    def checkpoint(self, path, tmp_path):
        state = torch.load(path)["state"]
        state["head.bias"] += 0.01
        torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "mine.pth")
        return tmp_path / "mine.pth"

    def teacher(self, run, store, *extra):
        return run("teacher", "digits", "--store", str(store), *sets(), *extra)

    def test_it_is_imported_found_by_a_grid_and_named_in_its_table(self, run, tmp_path, checkpoint):
        store = tmp_path / "new"
        status, output, _ = self.teacher(run, store, "--checkpoint", str(checkpoint))
        assert status == 0
        assert "Imported resnet8 from" in output
        status, output, _ = self.teacher(run, store, "--checkpoint", str(checkpoint))
        assert (status, "Already imported" in output) == (0, True)
        options = ["--budget", "smoke", "--store", str(store), *sets()]
        content = json.loads(run("plan", "table3", *options, "--json")[1])
        assert content["context"]["teacher_origin"] == "mine.pth"
        table = run("report", "table3", *options)[1]
        assert "imported from mine.pth" in " ".join(table.split())

    def test_a_trained_one_is_not_replaced_unasked(self, run, store, path, checkpoint):
        before, trained = path.read_bytes(), torch.load(path)["hash"]
        refused(self.teacher(run, store, "--checkpoint", str(checkpoint)), str(path), "trained here", "--replace")
        assert path.read_bytes() == before
        assert self.teacher(run, store, "--checkpoint", str(checkpoint), "--replace")[0] == 0
        assert torch.load(path)["hash"] != trained
        refused(self.teacher(run, store), str(path), "mine.pth", "--replace")
        assert "Training resnet8" in self.teacher(run, store, "--replace")[1]
        assert torch.load(path)["hash"] == trained

    def test_one_of_another_file_is_not_replaced_unasked(self, run, store, path, checkpoint, tmp_path):
        self.teacher(run, store, "--checkpoint", str(checkpoint), "--replace")
        other = tmp_path / "other.pth"
        torch.save(torch.load(path)["state"], other)
        refused(self.teacher(run, store, "--checkpoint", str(other)), "mine.pth", "other.pth", "--replace")

    @pytest.mark.parametrize(
        ("extra", "words"),
        [
            (["--checkpoint", "none.pth"], ["--checkpoint", "none.pth"]),
            (["--checkpoint", "none.pth", "--init", "imagenet"], ["--init", "--checkpoint"]),
            (["--init", "imagenet"], ["teacher.init", "resnet8", "resnet34"]),
            (["--init", "imagnet"], ["teacher.init", "Did you mean `imagenet`"]),
        ],
    )
    def test_bad_options(self, run, tmp_path, extra, words):
        refused(self.teacher(run, tmp_path / "runs", *extra), *words)

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            (["teacher.architecture=resnet14", "data.classes=first:3"], ["resnet14", "resnet8", "missing"]),
            (["data.classes=first:4"], ["number of classes must be 4", "has 3"]),
        ],
    )
    def test_one_that_does_not_fit_is_not_kept(self, run, tmp_path, checkpoint, settings, words):
        store = tmp_path / "new"
        options = [part for setting in settings for part in ("--set", setting)]
        outcome = run("teacher", "digits", "--checkpoint", str(checkpoint), "--store", str(store), *options)
        refused(outcome, "mine.pth", *words)
        assert not (store / "teachers").exists()

    def test_near_chance_is_pointed_out(self, run, store, path, tmp_path):
        state = torch.load(path)["state"]
        state["head.weight"].zero_()
        torch.save(state, tmp_path / "x.pth")
        output = self.teacher(run, store, "--checkpoint", str(tmp_path / "x.pth"), "--replace")[1]
        assert "near chance" in output
        assert "mean (0.5, 0.5, 0.5)" in output


class TestImageNetStart:
    """``dfkd teacher --init imagenet``."""

    def teacher(self, run, tmp_path, *extra):
        size = ["--set", "data.image_size=64", "--set", "teacher.architecture=resnet18"]
        return run("teacher", "digits", "--init", "imagenet", "--store", str(tmp_path / "runs"), *size, *extra)

    def test_it_says_what_stays_random(self, run, tmp_path, monkeypatch):
        def interrupted(*args, **kwargs):
            raise KeyboardInterrupt

        monkeypatch.setattr("dfkd.pretrained.imagenet_weights", lambda name: resnet18().state_dict())
        monkeypatch.setattr("dfkd.teacher.train_teacher", interrupted)
        status, output, _ = self.teacher(run, tmp_path)
        assert status == 130
        assert "ImageNet weights, but for conv1.weight, fc.weight, fc.bias" in output
        assert "--set teacher.init=imagenet" in output

    def test_it_says_what_of_imagenets_has_no_place(self, run, tmp_path, monkeypatch):
        def interrupted(*args, **kwargs):
            raise KeyboardInterrupt

        with torch.device("meta"):
            shapes = {name: value.shape for name, value in vgg11_bn().state_dict().items()}
        weights = {name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}
        monkeypatch.setattr("dfkd.pretrained.imagenet_weights", lambda name: weights)
        monkeypatch.setattr("dfkd.teacher.train_teacher", interrupted)
        options = ["--set", "data.image_size=64", "--set", "teacher.architecture=vgg11"]
        status, output, _ = run("teacher", "digits", "--init", "imagenet", "--store", str(tmp_path / "runs"), *options)
        assert status == 130
        assert "but for head.weight, head.bias, which start at random" in output
        assert "ImageNet's classifier.0, classifier.3, classifier.6 have no place in it at this size" in output

    def test_without_a_network_the_file_and_its_folder_are_named(self, run, tmp_path, monkeypatch):
        def no_network(*args):
            raise URLError("no network")

        monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
        monkeypatch.setattr(torch.hub, "_hub_dir", None)
        monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
        outcome = self.teacher(run, tmp_path)
        refused(outcome, "resnet18-", ".pth", str(tmp_path / "home/hub/checkpoints"), "no network", "TORCH_HOME")
        assert not (tmp_path / "runs" / "teachers").exists()

    def test_it_is_set_once(self, run, tmp_path):
        refused(self.teacher(run, tmp_path, "--set", "teacher.init=random"), "teacher.init", "given once")
