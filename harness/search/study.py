"""A search's trials in Optuna's journal storage, owned by the harness: nothing but this file writes them.

<store>/studies/<name>/journal.log    any Optuna tool can read it
<store>/studies/<name>/lease          held by the one process that searches

A trial is added with all of its parameters in one line, so that a kill leaves none half made. Optuna fixes what a
parameter may be when a study starts; where the space's ranges have changed, a new study in the same journal takes over
the trials that lie in the new ones.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from dfkd.overrides import Scalar
from harness.leases import HeldError, hold
from harness.search.suggest import distributions
from harness.store import StoreError
from search_spaces import Choices, Parameter, Space

PATIENCE = 10.0
"""Seconds to wait for a search whose process is just being killed."""

UNFINISHED = TrialState.RUNNING

FORMAT = 1
"""Of what a trial and a study note; raised when an older version would misread them."""


class Study:
    """The trials of one search. Only finite values can enter."""

    def __init__(self, study: optuna.Study, storage: BaseStorage, space: Space) -> None:
        self._study, self._storage, self._space = study, storage, space

    @property
    def trials(self) -> list[FrozenTrial]:
        """Return all trials, in order."""
        return self._study.get_trials(deepcopy=False)

    @property
    def own(self) -> list[FrozenTrial]:
        """Return the trials that were suggested here, and not taken over from cells that others ran."""
        return [trial for trial in self.trials if trial.user_attrs["origin"] == "suggested"]

    def add(
        self,
        point: Mapping[str, Scalar],
        *,
        values: Sequence[float] | None = None,
        failure: str | None = None,
        stopped: Mapping[int, float] | None = None,
        notes: Mapping[str, Any],
        system: Mapping[str, Any] | None = None,
    ) -> None:
        """Add a trial: complete with its ``values``, failed with its ``failure``, or under way with neither.

        One that was ``stopped`` early has the first objective after each epoch that it was run.
        """
        state = TrialState.COMPLETE if values is not None else TrialState.FAIL if failure is not None else UNFINISHED
        if stopped:
            state, values = TrialState.PRUNED, [stopped[max(stopped)]]
        self._study.add_trial(
            create_trial(
                state=state,
                values=values,
                intermediate_values=dict(stopped or {}),
                params=dict(point),
                distributions=distributions(self._space, point),
                user_attrs={**notes, **({"failure": failure} if failure is not None else {})},
                system_attrs=dict(system or {}),
            )
        )

    def tell(self, number: int, values: Sequence[float]) -> None:
        """Give a trial that is under way its values."""
        self._study.tell(number, values)

    def note_epoch(self, number: int, epoch: int, value: float) -> None:
        """Record what a trial that is under way had reached after an epoch."""
        self._storage.set_trial_intermediate_value(self.trials[number]._trial_id, epoch, value)

    def stop(self, number: int) -> None:
        """End a trial that is under way early; what it reached last is no value of the cell."""
        self._study.tell(number, state=TrialState.PRUNED)

    def fail(self, number: int, why: str) -> None:
        """End a trial that is under way without a value."""
        self._storage.set_trial_user_attr(self.trials[number]._trial_id, "failure", why)
        self._study.tell(number, state=TrialState.FAIL)


@contextmanager
def open_study(folder: Path, *, space: Space, directions: Sequence[StudyDirection]) -> Iterator[Study]:
    """Hold the study in ``folder`` for this process; it is made if it is not there.

    ``directions`` say what is sought, one for each value of a trial.

    Raises:
        StoreError: another process holds it, it was made for other parameters, or by a newer version.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(hold(folder, patience=PATIENCE))
        except HeldError as error:
            raise StoreError(
                f"A study must be searched by one process at a time, but {error} Wait for it, or stop it."
            ) from None
        path = folder / "journal.log"
        _mend(path)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage = JournalStorage(JournalFileBackend(str(path)))
        yield Study(_current(storage, folder, space, directions), storage, space)


def _mend(path: Path) -> None:
    """Cut off a last line that a kill left incomplete, and take away the lock of a killed writer."""
    (path.parent / (path.name + ".lock")).unlink(missing_ok=True)
    if path.exists():
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            path.write_bytes(whole)


def describe(space: Space) -> dict[str, Any]:
    """Return the parameters as JSON, as the study records them."""
    return {parameter.key: _describe(parameter) for parameter in space.parameters}


def _describe(parameter: Parameter) -> dict[str, Any]:
    domain = parameter.domain
    shape: dict[str, Any] = (
        {"choices": list(domain.options)}
        if isinstance(domain, Choices)
        else {"low": domain.low, "high": domain.high, "log": domain.log, "step": domain.step}
    )
    return shape | ({"when": [str(condition) for condition in parameter.when]} if parameter.when else {})


def _current(storage: BaseStorage, folder: Path, space: Space, directions: Sequence[StudyDirection]) -> optuna.Study:
    """Return the study for ``space``: the last one of the journal, or a new one that takes over what it can use."""
    earlier: list[optuna.Study] = []
    for name in sorted(optuna.get_all_study_names(storage), key=lambda name: int(name.rsplit(".", 1)[1])):
        study = optuna.load_study(study_name=name, storage=storage)
        if "space" in study.user_attrs:
            _refuse_newer(study.user_attrs.get("format", 1), folder)
            earlier.append(study)
        else:
            optuna.delete_study(study_name=name, storage=storage)  # a kill came while it took trials over
    if earlier and earlier[-1].user_attrs["space"] == describe(space):
        return earlier[-1]
    if earlier:
        _refuse_incompatible(earlier[-1].user_attrs["space"], space, folder)
    name = f"{folder.name}.{len(earlier) + 1}"
    study = optuna.create_study(study_name=name, storage=storage, directions=list(directions))
    # Each trial once, as it stands in the latest study that has it.
    known = {
        (tuple(trial.params.items()), trial.user_attrs.get("index")): trial
        for former in earlier
        for trial in former.get_trials(deepcopy=False)
    }
    for trial in known.values():
        if space.fits(trial.params):
            study.add_trial(
                create_trial(
                    state=trial.state,
                    values=trial.values,
                    intermediate_values=trial.intermediate_values,
                    params=trial.params,
                    distributions=distributions(space, trial.params),
                    user_attrs=trial.user_attrs,
                    system_attrs=trial.system_attrs,
                )
            )
    study.set_user_attr("format", FORMAT)
    study.set_user_attr("optuna", optuna.__version__)
    study.set_user_attr("space", describe(space))
    return study


def _refuse_newer(written: int, folder: Path) -> None:
    """Raise StoreError unless this version can read what another one wrote."""
    if written > FORMAT:
        raise StoreError(
            f"A study must be of format {FORMAT} or older to be read by this version, but {folder} is of format "
            f"{written}. Update this installation to the version that wrote it; or move the folder away: a new study "
            "takes over every finished cell."
        )


def _refuse_incompatible(before: Mapping[str, Any], space: Space, folder: Path) -> None:
    """Raise StoreError unless only ranges, choices and conditions have changed."""
    now = describe(space)
    way_out = (
        f"Give the new space a file of its own ({space.name}2.toml, say), which begins a new study and takes over "
        f"every finished cell that lies in it; or delete {folder}."
    )
    if before.keys() != now.keys():
        listed = [f"without `{key}`" for key in before.keys() - now.keys()]
        listed += [f"with `{key}`" for key in now.keys() - before.keys()]
        raise StoreError(
            f"A study must keep its parameters, but {space.path} now is {', '.join(sorted(listed))}. {way_out}"
        )
    for key in now:
        if ("choices" in before[key]) != ("choices" in now[key]):
            kinds = [("a list of choices" if "choices" in each[key] else "a range") for each in (before, now)]
            raise StoreError(
                f"A parameter must stay a range or a list of choices, but `{key}` of {space.path} was {kinds[0]} and "
                f"now is {kinds[1]}. {way_out}"
            )
