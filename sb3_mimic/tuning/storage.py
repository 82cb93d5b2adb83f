"""Opens the storage of studies, in which workers that died are noticed."""

import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.storages._heartbeat import BaseHeartbeat
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from sb3_mimic.errors import StorageError, StudyNotFoundError

#: Environment variable: seconds between two signs of life of a worker
HEARTBEAT_VARIABLE, HEARTBEAT = "SB3_MIMIC_HEARTBEAT", 60
# Signs of life that may be missing before a worker is taken for dead
GRACE = 2
# A trial that kills its workers, such as by its memory, is not tried for ever
MAX_RETRIES = 3
#: Under this name a trial remembers what it was: see ``sb3_mimic.tuning.worker.Worker``
RECORD = "sb3_mimic"


def heartbeat_interval() -> int:
    """
    Returns the number of seconds between two signs of life.

    :raises ValueError: When the environment variable ``SB3_MIMIC_HEARTBEAT`` is no positive whole number
    """
    text = os.environ.get(HEARTBEAT_VARIABLE, str(HEARTBEAT))
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{HEARTBEAT_VARIABLE} must be a whole number of seconds, at least 1, got {text!r}")
    return int(text)


class Retry(RetryHeartbeatStaleTrialCallback):
    """Puts the trial of a dead worker back into the queue, with the same hyperparameters and seed."""

    def __init__(self) -> None:
        super().__init__(MAX_RETRIES)
        #: How many were put back by this process
        self.n_queued = 0

    def __call__(self, study: optuna.Study, trial: FrozenTrial) -> None:
        n_before = len(study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))
        super().__call__(study, trial)
        is_queued = len(study.get_trials(deepcopy=False, states=(TrialState.WAITING,))) > n_before
        self.n_queued += is_queued
        fate = "it is tried again" if is_queued else f"after {MAX_RETRIES} retries it is given up"
        print(f"The worker of trial {trial.number} died: {fate}", flush=True)


class WatchedJournal(JournalStorage, BaseHeartbeat):
    """
    Keeps studies in a journal file, and notices the trials of dead workers; Optuna's own journal has no heartbeats.
    Machines that share it must agree on the time.

    :param path: The file
    :param interval: Seconds between two signs of life
    :param retry: What to do with the trial of a dead worker
    """

    def __init__(self, path: str, interval: int, retry: Retry):
        super().__init__(JournalFileBackend(path))
        self._interval = interval
        self.heartbeat_stale_trial_callback = retry

    def record_heartbeat(self, trial_id: int) -> None:
        # A retried trial inherits the attribute: it says whose sign of life it is
        self.set_trial_system_attr(trial_id, "heartbeat", [trial_id, time.time()])

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        oldest = time.time() - GRACE * self._interval
        running = self.get_all_trials(study_id, deepcopy=False, states=(TrialState.RUNNING,))
        beats = {trial._trial_id: trial.system_attrs.get("heartbeat", (None, 0.0)) for trial in running}
        return [trial_id for trial_id, (whose, when) in beats.items() if whose == trial_id and when < oldest]

    def get_heartbeat_interval(self) -> int | None:
        return self._interval

    def get_heartbeat_stale_trial_callback(self) -> Callable[[optuna.Study, FrozenTrial], None] | None:
        return self.heartbeat_stale_trial_callback


def open_storage(storage: str, must_exist: bool = False) -> BaseStorage:
    """
    Opens a storage, in which the trials of dead workers are noticed.

    :param storage: A journal file, whose name ends with ``.log``, or the URL of a database
    :param must_exist: Whether to make nothing: no file, no tables
    :return: The storage
    :raises StorageError: When it is not there, cannot be reached, or is none
    """
    retry = _quietly(Retry)
    try:
        if storage.endswith(".log"):
            if must_exist and not Path(storage).is_file():
                raise StorageError(f"There is no journal file {storage}. Give the --storage that the study was made with.")
            Path(storage).parent.mkdir(parents=True, exist_ok=True)
            return WatchedJournal(storage, heartbeat_interval(), retry)
        url = sqlalchemy.make_url(storage)
        if must_exist and url.drivername.startswith("sqlite") and not Path(url.database or "").is_file():
            raise StorageError(f"There is no file {url.database}. Give the --storage that the study was made with.")
        return _open_database(storage, retry, must_exist)
    except (sqlalchemy.exc.SQLAlchemyError, ImportError, StorageInternalError, ValueError, RuntimeError) as error:
        cause = str(error.__cause__ or error).strip().splitlines()[0]
        raise StorageError(
            f"The storage {_without_password(storage)} cannot be opened: {cause}. Give a journal file, such as study.log,"
            ' or the URL of a database, such as postgresql+psycopg://user@host/name (needs pip install "sb3_mimic[tuning]").'
        ) from error


def _open_database(url: str, retry: Retry, must_exist: bool, attempts: int = 5) -> RDBStorage:
    interval = heartbeat_interval()
    try:
        return _quietly(  # type: ignore[no-any-return]
            RDBStorage,
            url,
            # Who only reads keeps no connection; one that broke while a trial was running is made anew
            engine_kwargs={"poolclass": sqlalchemy.NullPool} if must_exist else {"pool_pre_ping": True},
            heartbeat_interval=interval,
            grace_period=GRACE * interval,
            heartbeat_stale_trial_callback=retry,
            skip_table_creation=must_exist,
        )
    except (sqlalchemy.exc.ProgrammingError, sqlalchemy.exc.IntegrityError):
        # Several workers that come first all want to make the tables
        if must_exist or attempts == 1:
            raise
        time.sleep(1)
        return _open_database(url, retry, must_exist, attempts - 1)


def _quietly(make: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Makes what Optuna calls experimental, without its warning each time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return make(*args, **kwargs)


def _without_password(storage: str) -> str:
    try:
        return sqlalchemy.make_url(storage).render_as_string(hide_password=True)
    except sqlalchemy.exc.ArgumentError:
        return storage


def load_study(storage: str, study_name: str) -> optuna.Study:
    """
    Loads a study from a storage.

    :param storage: See :func:`open_storage`
    :param study_name: Name of the study
    :return: The study
    :raises StorageError: When the storage cannot be opened
    :raises StudyNotFoundError: When it holds no such study
    """
    opened = open_storage(storage, must_exist=True)
    try:
        return optuna.load_study(storage=opened, study_name=study_name)
    except KeyError as error:
        names = ", ".join(sorted(study.study_name for study in opened.get_all_studies())) or "no study at all"
        raise StudyNotFoundError(
            f"Unknown study '{study_name}' in {_without_password(storage)}, which holds: {names}."
        ) from error
    except StorageInternalError as error:
        raise StorageError(
            f"{_without_password(storage)} holds no studies. Give the --storage that the study was made with."
        ) from error
