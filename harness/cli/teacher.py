"""``dfkd teacher``: train the teacher once, or check the one that is there."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dfkd.config import RunConfig
from dfkd.errors import CheckpointError
from harness.cli.options import DEFAULT_STORE, DataRootOption, DeviceOption, SetOption, StoreOption, guarded
from harness.plan import base_config, parse_settings
from harness.store import Store, open_store


@guarded
def teacher(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="digits, cub200, ...: see docs/data.md.")],
    data_root: DataRootOption = None,
    settings: SetOption = None,
    store: StoreOption = DEFAULT_STORE,
    device: DeviceOption = "auto",
) -> int:
    """Train the teacher of a data set on its real training images, or check the one that the store has."""
    from harness.inputs import pick_device, teacher_name

    config = base_config(dataset, budget=None, settings=parse_settings(settings or []))
    chosen = pick_device(device)
    opened = open_store(store)
    path = opened.teacher(teacher_name(config))
    console = Console(highlight=False, soft_wrap=True)
    if path.exists():
        _check(config, path, data_root=data_root, store=opened, device=chosen, console=console)
    else:
        _train(config, path, data_root=data_root, store=opened, device=chosen, console=console)
    return 0


def _train(
    config: RunConfig, path: Path, *, data_root: Path | None, store: Store, device: str, console: Console
) -> None:
    import torch

    from dfkd.data import dataset_spec
    from dfkd.evaluation import load_test_images
    from dfkd.teacher import describe_teacher, train_teacher

    train = dataset_spec(config.data.dataset).load(config.data, root=data_root, split="train")
    test = load_test_images(config.data, root=data_root, cache=store.cache)
    console.print(
        f"Training {config.teacher.architecture} on {len(train.labels)} images of {len(train.class_names)} classes at "
        f"{config.data.image_size} px for {config.teacher.epochs} epochs on {device}; {len(test.labels)} test images."
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
    way_out = "Delete the file to train it again."
    loaded = load_teacher(config, path, class_names=test.class_names, way_out=way_out)
    about = describe_teacher(path)
    if about["test_fingerprint"] != test.fingerprint:
        raise CheckpointError(f"The teacher {path} must belong to these images, but was measured on others. {way_out}")
    network = loaded.classifier.network.to(device)
    measured = accuracy(network, test.to(torch.device(device)), dataset_spec(config.data.dataset), config.compute)
    console.print(
        f"Already trained: test accuracy {100 * loaded.test_accuracy:.2f} % when trained, {100 * measured:.2f} % now, "
        f"hash {loaded.hash[:16]}\n{path}",
        soft_wrap=True,
    )
