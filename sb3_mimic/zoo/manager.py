"""Extends rl-zoo3's manager of a training, in one subclass."""

import copy
import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from operator import attrgetter
from pathlib import Path
from pprint import pprint
from typing import Any

import torch as th
from rl_zoo3 import exp_manager
from rl_zoo3.hyperparams_opt import HYPERPARAMS_SAMPLER
from rl_zoo3.utils import SimpleLinearSchedule, get_class_by_name
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, CheckpointCallback, EvalCallback
from stable_baselines3.common.vec_env import VecEnv, VecTransposeImage

from sb3_mimic import keys
from sb3_mimic.annealing import Annealing
from sb3_mimic.checkpoints import BestStatisticsCallback, RunStateCallback, checkpoints_in, how_to_continue
from sb3_mimic.checkpoints.state_file import fingerprint
from sb3_mimic.errors import (
    DamagedAgentError,
    HyperparametersError,
    InterruptedRunError,
    PackageError,
    RunStateError,
    StudyNotFoundError,
)
from sb3_mimic.her import HerReplayBuffer, VecTransposeOutside, share_goal_statistics
from sb3_mimic.pose import JOINTS
from sb3_mimic.runs.arguments import read_hyperparameters
from sb3_mimic.runs.shipped import hyperparams_file
from sb3_mimic.tuning.environment import Offer, probe
from sb3_mimic.tuning.hindsight import REPLAY_BUFFER_KWARGS, tuned_hindsight
from sb3_mimic.zoo.entries import algorithms_of, entry_for, our_entry, read_entries, similar_id

Entry = dict[str, Any]

# Of which the search space is ours; others are tuned as rl-zoo3 does it
TUNED_ALGOS = ("ppo", "ppo_lstm")
POLICIES = "sb3_mimic.policies."


class MimicZooManager(exp_manager.ExperimentManager):
    """
    Manages a training as rl-zoo3 does, but also knows our hyperparameters, continues runs exactly, and runs our studies.

    Ids of others keep the zoo's hyperparameters. A ``RunStateCallback`` among the callbacks gets the folder, the
    ``--save-freq`` and the ``-i`` of the run, whatever its id. Arguments are those of the zoo's ``ExperimentManager``.
    """

    #: Whether what is trained is ours: by its policy, or by its id
    is_ours = False
    #: Whether transitions are replayed by our hindsight
    has_hindsight = False

    def setup_experiment(self) -> tuple[BaseAlgorithm, Entry] | None:
        """
        Prepares the training, after a check that the agent to continue from is whole.

        :return: The model and its hyperparameters; None where they are to be optimised
        :raises DamagedAgentError: When that agent is damaged
        """
        agent = Path(self.trained_agent)
        if self.continue_training:
            try:
                fingerprint(agent)
            except RunStateError as error:
                whole = [str(path) for path in checkpoints_in(agent.parent) if path != agent]
                cure = f"There are: {', '.join(whole)}." if whole else f"There is no other in {agent.parent}."
                raise DamagedAgentError(f"{error} {cure}") from error
        return super().setup_experiment()

    def read_hyperparameters(self) -> tuple[Entry, Entry]:
        """
        Finds the hyperparameters of the training: a run's own, ours, or the zoo's.

        :return: Hyperparameters, and the same in the order in which they are saved
        :raises HyperparametersError: When there are none
        """
        if self.trial_id is not None and self.storage and self.study_name:
            # The zoo itself leaves out trial 0
            print(f"Loading trial {self.trial_id} of study {self.study_name}")
            trial = self.load_trial(self.storage, self.study_name, self.trial_id)
            self.custom_hyperparams = {**trial, **(self.custom_hyperparams or {})}
            self.trial_id = None
        entry = self._find_entry()
        hyperparams, saved = super().read_hyperparameters() if entry is None else self._overridden(entry)
        env_id = self.env_name.gym_id
        self.is_ours = self.is_ours or str(saved.get("policy")).startswith(POLICIES) or bool(algorithms_of(env_id))
        if self.is_ours:
            self._set_state_dim(hyperparams, saved)
            if getattr(self.args, "num_threads", -1) < 0:
                # Small networks are fastest on one thread; the translator takes more for itself
                th.set_num_threads(1)
            self.show_progress = not self.optimize_hyperparameters
        #: As they stand before rl-zoo3 makes objects of them
        self.entry = copy.deepcopy(dict(saved))
        return hyperparams, saved

    def _find_entry(self) -> Entry | None:
        """Returns the hyperparameters that the zoo would not find, or None where it does."""
        config, env_id = Path(self.config), self.env_name.gym_id
        if config.suffix in (".yml", ".yaml") and not config.is_file():
            raise HyperparametersError(
                f"There is no file {config}, seen from {Path.cwd()}. Give the path of one to --conf-file."
            )
        if config.name == "config.yml" and (config.parent / "args.yml").is_file():
            print(f"Loading the hyperparameters of the run: {config}")
            packages = getattr(self.args, "gym_packages", ())
            return read_hyperparameters(config.parent.parent, config.parent.name, packages)
        # The zoo looks in its package, or at the top of its checkout
        if config not in [root / "hyperparams" / f"{self.algo}.yml" for root in Path(exp_manager.__file__).parents[:2]]:
            return None
        similar = None
        if our_entry(self.algo, env_id) is None and not algorithms_of(env_id):
            if self._is_atari or env_id in read_entries(config):
                return None
            similar = similar_id(env_id, probe(env_id, self.env_kwargs))
            if similar is None:
                return None
            print(f"{env_id} has no hyperparameters of its own, and takes those of {similar}")
        self.is_ours = True
        print(f"Loading hyperparameters from: {hyperparams_file(self.algo)}")
        return entry_for(self.algo, env_id, similar)

    def _overridden(self, entry: Entry) -> tuple[Entry, Entry]:
        """Returns an entry with all that the command line changes, as the zoo does it, and the same in order."""
        hyperparams = {**entry, **(self.custom_hyperparams or {})}
        if "env_kwargs" in hyperparams and self.env_kwargs:
            hyperparams["env_kwargs"] = self.env_kwargs
        saved = OrderedDict((key, hyperparams[key]) for key in sorted(hyperparams))
        print("Default hyperparameters for environment (ones being tuned will be overridden):")
        pprint(saved)
        return hyperparams, saved

    def _set_state_dim(self, hyperparams: Entry, saved: Entry) -> None:
        """Sets how many numbers a translator reads, where the observation does not tell and it is not one for each action."""
        policy_kwargs = hyperparams.get("policy_kwargs") or {}
        if not str(hyperparams.get("policy")).startswith(POLICIES) or not isinstance(policy_kwargs, dict):
            return
        offer = probe(self.env_name.gym_id, {**(hyperparams.get("env_kwargs") or {}), **self.env_kwargs})
        state_dim = _hidden_state_dim(offer, policy_kwargs.get("labels") or keys.LABELS)
        if state_dim in (None, offer.n_actions):
            return
        translator_kwargs = {"state_dim": state_dim, **(policy_kwargs.get("translator_kwargs") or {})}
        for each in (hyperparams, saved):
            each["policy_kwargs"] = {**policy_kwargs, "translator_kwargs": translator_kwargs}

    def _preprocess_hyperparams(
        self, hyperparams: Entry
    ) -> tuple[Entry, Callable[..., Any] | None, list[BaseCallback], Callable[..., Any] | None]:
        buffer_class = hyperparams.get("replay_buffer_class")
        if isinstance(buffer_class, str) and "." in buffer_class:
            # The zoo would evaluate it, where no package of that name is known
            hyperparams["replay_buffer_class"] = buffer_class = _class_of(buffer_class)
        self.has_hindsight = isinstance(buffer_class, type) and issubclass(buffer_class, HerReplayBuffer)
        prepared = super()._preprocess_hyperparams(hyperparams)
        if self.is_ours:
            for name, value in prepared[0].items():
                if isinstance(value, SimpleLinearSchedule):
                    # The zoo's falls below zero in the last rollout, which goes on beyond the last step
                    prepared[0][name] = Annealing(value.initial_value, 0.0)
        if self.is_ours and self._eval_env_kwargs_args is None:
            # The zoo would evaluate in another environment than it trains in
            self.eval_env_kwargs = self.env_kwargs
        return prepared

    def create_envs(self, n_envs: int, eval_env: bool = False, no_log: bool = False) -> VecEnv:
        """
        Makes the environments as the zoo does. Where goals are relabelled, those that are achieved and those that are desired
        are normalised alike.

        :param n_envs: Number of environments
        :param eval_env: Whether they are for evaluations
        :param no_log: Whether to write no log of episodes
        :return: The environments
        """
        venv: VecEnv = super().create_envs(n_envs, eval_env, no_log)
        if self.has_hindsight:
            share_goal_statistics(venv)
            if self.normalize and isinstance(venv, VecTransposeImage):
                venv = VecTransposeOutside(venv.venv)
        return venv

    def create_callbacks(self) -> None:
        """Makes the zoo's callbacks, and hands a ``RunStateCallback`` what it needs to know of the run."""
        save_freq = self.save_freq
        super().create_callbacks()  # type: ignore[no-untyped-call]
        ours = self._run_state()
        if ours is None or self.optimize_hyperparameters:
            return
        ours.save_path = ours.save_path or self.save_path
        if save_freq > 0:
            ours.save_freq = save_freq
        if self.continue_training:
            ours.resume_from = self.trained_agent
        # First, so that whatever else starts with the training finds it as it was
        others = [each for each in self.callbacks if each is not ours and not isinstance(each, CheckpointCallback)]
        self.callbacks = [ours, *others]
        for each in others:
            if isinstance(each, EvalCallback) and self.normalize:
                _keep_statistics_of_best(each, self.save_path)

    def _run_state(self) -> RunStateCallback | None:
        return next((each for each in self.callbacks if isinstance(each, RunStateCallback)), None)

    def learn(self, model: BaseAlgorithm) -> None:
        """
        Trains, and prints how to continue where the training breaks off.

        :param model: The model
        :raises InterruptedRunError: When a worker of the vectorised environment has died
        """
        if self.continue_training and not _has_optimizer_states(model):
            print(f"{self.trained_agent} comes without the states of its optimisers: they begin anew.")
        if self._run_state() is None:
            super().learn(model)
            return
        try:
            super().learn(model)
        except (EOFError, ConnectionError) as error:
            raise InterruptedRunError(
                f"A worker of the vectorised environment has died ({error!r}), perhaps for want of memory."
                f" {how_to_continue(Path(self.save_path))}"
            ) from error
        except Exception:
            print(f"The run broke off. {how_to_continue(Path(self.save_path))}", file=sys.stderr)
            raise

    def load_trial(self, storage: str, study_name: str, trial_id: int | None = None, convert: bool = True) -> Entry:
        """
        Reads the hyperparameters of a trial. Trials of ours remember their whole entry.

        :param storage: A journal file or the URL of a database
        :param study_name: Name of the study
        :param trial_id: Number of the trial; the best one by default
        :param convert: Whether to make objects of what the zoo's trials hold
        :return: Hyperparameters
        :raises StudyNotFoundError: When there is no such study or trial
        """
        from sb3_mimic.tuning.storage import RECORD, load_study

        study = load_study(storage, study_name)
        if trial_id is not None and not 0 <= trial_id < len(study.trials):
            raise StudyNotFoundError(
                f"Study '{study_name}' has no trial {trial_id}, only {len(study.trials)} trials, from 0 on."
            )
        trial = study.best_trial if trial_id is None else study.trials[trial_id]
        if RECORD in trial.user_attrs:
            return dict(trial.user_attrs[RECORD]["entry"])
        entry: Entry = super().load_trial(storage, study_name, trial_id, convert)
        drawn = trial.user_attrs.get(REPLAY_BUFFER_KWARGS)
        if drawn is None:
            return entry
        return {key: value for key, value in entry.items() if key not in drawn} | {REPLAY_BUFFER_KWARGS: drawn}

    def hyperparameters_optimization(self) -> None:
        """Runs a study, with our search space and examination where what is trained is ours."""
        if not self.is_ours or self.algo not in TUNED_ALGOS:
            with tuned_hindsight(HYPERPARAMS_SAMPLER, self.algo) if self.has_hindsight else nullcontext():
                super().hyperparameters_optimization()
            return
        from sb3_mimic.tuning.worker import Worker

        Worker(self, self.entry).optimize()


def _hidden_state_dim(offer: Offer, labels: Mapping[str, str]) -> int | None:
    """
    Returns how many numbers a translator reads where the observation does not tell.

    :param offer: What the environment offers
    :param labels: The vector that is read in each picture
    :return: All of a pose with where the camera is, or the joints of a pose; None where the observation tells
    """
    if keys.IMAGE not in offer.keys:
        return None
    if offer.view_layout is not None and set(labels.values()) <= set(keys.VIEW_LABELS.values()):
        return offer.view_layout.dim
    if keys.ACHIEVED_GOAL in offer.keys or offer.layout is None or JOINTS not in offer.layout:
        return None
    return offer.layout[JOINTS].size


def _class_of(name: str) -> type:
    """Returns a class by its dotted name."""
    try:
        found: type = get_class_by_name(name)
    except (AttributeError, ImportError, ValueError) as error:
        raise PackageError(
            f"replay_buffer_class: {name} cannot be imported: {error}. Ours is sb3_mimic.her.HerReplayBuffer, SB3's"
            " HerReplayBuffer."
        ) from error
    return found


def _keep_statistics_of_best(evaluation: EvalCallback, folder: str) -> None:
    """Saves the running statistics of the best model whenever there is a new one, beside what is done then anyway."""
    on_new_best = CallbackList([BestStatisticsCallback(folder)])
    if evaluation.callback_on_new_best is not None:
        on_new_best.callbacks.insert(0, evaluation.callback_on_new_best)
    on_new_best.parent = evaluation
    evaluation.callback_on_new_best = on_new_best


def _has_optimizer_states(model: BaseAlgorithm) -> bool:
    """Whether an optimiser of a model has moved anything yet."""
    names = [name for name in model._get_torch_save_params()[0] if "optimizer" in name]
    return any(attrgetter(name)(model).state for name in names)
