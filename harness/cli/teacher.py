"""``dfkd teacher``: train the teacher once, or check the one that is there."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dfkd.config import RunConfig
from dfkd.errors import CheckpointError, ConfigError
from harness.cli.options import DEFAULT_STORE, DataRootOption, DeviceOption, SetOption, StoreOption, guarded
from harness.layers import base_config, chosen_recipe, parse_settings
from harness.store import Store, open_store


@guarded
def teacher(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="digits, cub200, ...: see docs/data.md.")],
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", metavar="FILE", help="Take a teacher that was trained elsewhere: its state dict."),
    ] = None,
    init: Annotated[
        str | None, typer.Option("--init", help="Start from random or imagenet weights: `--set teacher.init=...`.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the teacher that the store has.")] = False,
    data_root: DataRootOption = None,
    settings: SetOption = None,
    store: StoreOption = DEFAULT_STORE,
    device: DeviceOption = "auto",
) -> int:
    """Train the teacher of a data set on its real training images, or import one, or check the one the store has."""
    from harness.devices import pick_device
    from harness.inputs import teacher_name

    if checkpoint and init:
        raise ConfigError(
            f"`--init` must go with training, but with `--checkpoint {checkpoint}` the weights are taken as they are. "
            "Leave one of them out."
        )
    given = parse_settings([*(settings or []), *([f"teacher.init={init}"] if init else [])])
    config = base_config(dataset, budget=None, settings=given)
    chosen = pick_device(device)
    opened = open_store(store)
    path = opened.teacher(teacher_name(config))
    console = Console(highlight=False, soft_wrap=True)
    if path.exists() and not replace:
        _refuse_another(path, checkpoint)
        _check(config, path, data_root=data_root, store=opened, device=chosen, console=console)
    elif checkpoint:
        _import(config, checkpoint, path, data_root=data_root, store=opened, device=chosen, console=console)
    else:
        _train(config, path, data_root=data_root, store=opened, device=chosen, console=console)
    return 0


def _refuse_another(path: Path, checkpoint: Path | None) -> None:
    """Raise CheckpointError if the teacher in ``path`` does not come from where this one is to come from."""
    from dfkd.foreign import file_hash
    from dfkd.teacher import describe_teacher

    origin = describe_teacher(path, way_out="Make it anew with `--replace`.").get("origin")
    if (origin["sha256"] if origin else None) == (file_hash(checkpoint) if checkpoint else None):
        return
    there = f"imported from {origin['file']} (SHA-256 {origin['sha256'][:16]})" if origin else "trained here"
    wanted = f"imported from {checkpoint}" if checkpoint else "trained here"
    raise CheckpointError(
        f"The teacher in {path} must be the one that is asked for, {wanted}, but it was {there}. Put yours in its "
        "place with `--replace` (runs of the former teacher stay in the store), or into another store with `--store`."
    )


def _import(
    config: RunConfig,
    checkpoint: Path,
    path: Path,
    *,
    data_root: Path | None,
    store: Store,
    device: str,
    console: Console,
) -> None:
    import torch

    from dfkd.evaluation import load_test_images
    from dfkd.foreign import file_hash, import_teacher, read_weights

    sha256, weights = file_hash(checkpoint), read_weights(checkpoint)
    test = load_test_images(config.data, root=data_root, cache=store.cache)
    imported = import_teacher(config, weights, source=checkpoint, test=test, device=torch.device(device), path=path)
    console.print(
        f"Imported {config.teacher.architecture} from {checkpoint} (SHA-256 {sha256[:16]}): test accuracy "
        f"{100 * imported.test_accuracy:.2f} % on {len(test.labels)} images of {len(test.class_names)} classes, "
        f"hash {imported.hash[:16]}\n{path}",
        markup=False,
    )
    if imported.test_accuracy < 1.5 / len(test.class_names):
        console.print(
            "That is near chance. Was it trained with its classes in this order, and on images that were normalised "
            f"by this mean and standard deviation?\n{', '.join(test.class_names[:5])}, ...; "
            f"{_normalisation(config.data.dataset)}",
            markup=False,
        )


def _normalisation(dataset: str) -> str:
    from dfkd.data import dataset_spec

    spec = dataset_spec(dataset)
    return f"mean {spec.mean}, standard deviation {spec.std} of pixels in [0, 1]"


def _train(
    config: RunConfig, path: Path, *, data_root: Path | None, store: Store, device: str, console: Console
) -> None:
    import torch

    from dfkd.evaluation import load_test_images, load_training_images
    from dfkd.pretrained import initial_teacher
    from dfkd.teacher import describe_teacher, train_teacher
    from harness.devices import slow_arithmetic

    warning = slow_arithmetic(config, device)
    if warning:
        console.print(f"[yellow]{warning}[/yellow]")
    if config.teacher.init == "imagenet":
        start = initial_teacher(config, classes=2)  # a missing file is known before any image is read
        unused = f" ImageNet's {', '.join(start.unused)} have no place in it at this size." if start.unused else ""
        console.print(
            f"Starting from torchvision's ImageNet weights, but for {', '.join(start.fresh)}, which start at random."
            f"{unused} Other commands find this teacher with `--set teacher.init=imagenet`."
        )
    train = load_training_images(config, root=data_root, cache=None)
    test = load_test_images(config.data, root=data_root, cache=store.cache)
    console.print(
        f"Training {config.teacher.architecture} on {len(train.labels)} images of {len(train.class_names)} classes at "
        f"{config.data.image_size} px for {config.teacher.epochs} epochs on {device}; {len(test.labels)} test images."
    )
    fitting = chosen_recipe(config)
    console.print(
        f"Recipe: {fitting.name} ({fitting.evidence})."
        if fitting
        else "Recipe: the defaults of `teacher.*`; none is known for this data set, image size and `teacher.init`.",
        markup=False,
    )
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("epochs", total=config.teacher.epochs)
        for record in train_teacher(config, train=train, test=test, device=torch.device(device), path=path):
            epoch, now = int(record["epoch"]), f"{100 * record['test_accuracy']:.2f} %"
            progress.update(bar, completed=epoch, description=f"epochs, test accuracy {now}")
            if not console.is_terminal and epoch % 10 == 0:
                console.print(f"epoch {epoch}/{config.teacher.epochs}: test accuracy {now}")
    about = describe_teacher(path)
    console.print(
        f"Test accuracy {100 * about['test_accuracy']:.2f} %, hash {about['hash'][:16]}\n{path}", soft_wrap=True
    )


def _check(
    config: RunConfig, path: Path, *, data_root: Path | None, store: Store, device: str, console: Console
) -> None:
    """Load the checkpoint with all its checks and measure it again.

    Raises:
        CheckpointError: it is damaged, or was measured on other test images.
    """
    import torch

    from dfkd.data import dataset_spec
    from dfkd.evaluation import accuracy, load_test_images
    from dfkd.teacher import describe_teacher, load_teacher

    test = load_test_images(config.data, root=data_root, cache=store.cache)
    way_out = "Make it anew with `--replace`."
    loaded = load_teacher(config, path, class_names=test.class_names, way_out=way_out)
    about = describe_teacher(path)
    if about["test_fingerprint"] != test.fingerprint:
        raise CheckpointError(f"The teacher {path} must belong to these images, but was measured on others. {way_out}")
    network = loaded.classifier.network.to(device)
    measured = accuracy(network, test.to(torch.device(device)), dataset_spec(config.data.dataset), config.compute)
    console.print(
        f"Already {'imported' if 'origin' in about else 'trained'}: test accuracy {100 * loaded.test_accuracy:.2f} % "
        f"then, {100 * measured:.2f} % now, "
        f"hash {loaded.hash[:16]}\n{path}",
        soft_wrap=True,
    )
