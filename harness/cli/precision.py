"""``--precision``: the arithmetic of cells by name, or the fastest of this machine."""

from pathlib import Path

from dfkd.errors import ConfigError
from harness.cli.options import Precision, errors

KEYS = ("compute.precision", "compute.channels_last")


def with_precision(
    settings: list[str] | None,
    precision: Precision | None,
    *,
    dataset: str,
    budget: str | None,
    device: str,
    threads: float,
    store: Path,
) -> list[str]:
    """Return the ``--set`` options with those that ``--precision`` stands for; what was picked is printed.

    Raises:
        ConfigError: the same is also given with ``--set``.
    """
    given = list(settings or [])
    if precision is None:
        return given
    for key in KEYS[: 2 if precision is Precision.auto else 1]:
        if any(setting.startswith(f"{key}=") for setting in given):
            raise ConfigError(
                f"`--precision {precision.value}` decides `{key}`, but it is given with `--set` too. Leave one out."
            )
    if precision is not Precision.auto:
        return [*given, f"compute.precision={precision.value}"]
    from harness.arithmetic import fastest_arithmetic
    from harness.devices import pick_device
    from harness.layers import base_config, budget_of, parse_settings

    config = base_config(dataset, budget=budget_of(dataset, budget), settings=parse_settings(given))
    choice = fastest_arithmetic(
        config, device=pick_device(device), threads=max(1, int(threads)), folder=store.expanduser().resolve() / "cache"
    )
    errors.print(choice.sentence(), markup=False)
    return [*given, *(f"{key}={value}" for key, value in choice.settings.items())]
