"""All that the future of a training depends on beside weights and optimisers: taken down, and put back."""

import inspect
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import torch as th
from sb3_contrib.common.recurrent.type_aliases import RNNStates
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, EvalCallback, EventCallback
from stable_baselines3.common.distributions import StateDependentNoiseDistribution
from stable_baselines3.common.vec_env import VecEnv

from sb3_mimic.checkpoints.buffer_state import capture_buffer, restore_buffer
from sb3_mimic.checkpoints.plain import NotPlainError, Recorder, Restorer
from sb3_mimic.checkpoints.venv_state import (
    capture_venv,
    env_id_of,
    layers_of,
    normalization_of,
    restore_venv,
    set_normalization,
)
from sb3_mimic.errors import RunStateError

State = dict[str, Any]

PACKAGES = ("sb3_mimic", "stable_baselines3", "sb3_contrib", "gymnasium", "pybullet", "torch", "numpy")
COUNTERS = ("num_timesteps", "_episode_num", "_n_updates", "_n_calls", "exploration_rate", "_current_progress_remaining")
# What lies between two steps; _last_original_obs is known to off-policy algorithms alone
OBSERVED = ("_last_obs", "_last_original_obs", "_last_episode_starts")
EVALUATIONS = (
    "best_mean_reward",
    "last_mean_reward",
    "evaluations_results",
    "evaluations_timesteps",
    "evaluations_length",
    "evaluations_successes",
)
# Of generalised state-dependent exploration: drawn before a rollout begins
EXPLORATION = ("exploration_mat", "exploration_matrices")
# What SB3 hands a callback, or what has a state of its own
OF_CALLBACKS = frozenset({"model", "parent", "locals", "globals", "_logger", "callback", "callbacks", "callback_on_new_best"})
OF_CALLBACKS |= {"eval_env", "pbar", *EVALUATIONS}
WITHOUT_STATE = ("CallbackList", "ProgressBarCallback")
# Whose objects show or write something, and keep nothing
KNOWN_CALLBACKS = ("stable_baselines3.", "sb3_contrib.", "rl_zoo3.", "sb3_mimic.")


def capture(model: BaseAlgorithm, callback: BaseCallback) -> State:
    """
    Takes down all that the future of a training depends on beside its weights and optimisers.

    :param model: Between two rollouts
    :param callback: All callbacks of the training
    :return: What :func:`restore` needs; under ``missing`` what could not be taken down, in words
    """
    venv = _venv_of(model)
    missing: list[str] = []
    state: State = {
        "versions": _versions(),
        "algorithm": type(model).__name__,
        "env_id": env_id_of(venv),
        "n_envs": venv.num_envs,
        "total_timesteps": model._total_timesteps,
        "counters": {name: getattr(model, name) for name in COUNTERS if hasattr(model, name)},
        "observed": {name: getattr(model, name) for name in OBSERVED if getattr(model, name, None) is not None},
        "episodes": _capture_episodes(model, missing),
        "venv": capture_venv(venv),
        "normalization": normalization_of(venv),
        "callbacks": [_capture_callback(each, missing) for each in every_callback(callback)],
        "random": _capture_random(model),
        "tensors": {name: tensor.detach().cpu().numpy() for name, tensor in _tensors_of(model).items()},
        "exploration": [
            {name: getattr(each, name).detach().cpu().numpy() for name in EXPLORATION if hasattr(each, name)}
            for each in _exploration_of(model)
        ],
    }
    hidden = getattr(model, "_last_lstm_states", None)
    if hidden is not None:
        state["hidden"] = [[part.cpu().numpy() for part in parts] for parts in hidden]
    if getattr(model, "replay_buffer", None) is not None:
        state["replay_buffer"] = capture_buffer(vars(model)["replay_buffer"])
        missing += state["replay_buffer"]["missing"]
    if getattr(model, "action_noise", None) is not None:
        recorder = Recorder()
        state["action_noise"] = recorder.attributes(vars(model)["action_noise"], "action_noise")
        missing += recorder.missing
    if type(model).__name__ == "ARS":
        missing.append("ARS, which draws what it tries before its rollout begins")
    state["missing"] = [*dict.fromkeys([*state["venv"]["missing"], *missing])]
    return state


def restore(model: BaseAlgorithm, callback: BaseCallback, state: State) -> list[str]:
    """
    Puts everything back but random states and what a rollout begins with, which :func:`restore_random` is for: it must
    come last.

    :param model: With the weights of the checkpoint, about to collect its first rollout
    :param callback: All callbacks of the training
    :param state: What :func:`capture` gave
    :return: What is not as it was, in words; the continuation is exact where this is empty
    :raises RunStateError: When the state is that of another training; nothing has been changed then
    """
    venv = _venv_of(model)
    _check(model, venv, state)
    differences = [
        f"{package} {now} in place of {state['versions'].get(package)}"
        for package, now in _versions().items()
        if now != state["versions"].get(package)
    ]
    differences += restore_venv(venv, state["venv"])
    set_normalization(venv, state["normalization"])
    for name, value in {**state["counters"], **state["observed"]}.items():
        setattr(model, name, value)
    # For the frames per second of the log
    model._num_timesteps_at_start = model.num_timesteps
    for name, episodes in state["episodes"].items():
        getattr(model, name).clear()
        getattr(model, name).extend(episodes)
    if "hidden" in state:
        states = [tuple(th.from_numpy(part).to(model.device) for part in parts) for parts in state["hidden"]]
        vars(model)["_last_lstm_states"] = RNNStates(*states)
    if "replay_buffer" in state:
        differences += restore_buffer(vars(model)["replay_buffer"], state["replay_buffer"])
    if "action_noise" in state and getattr(model, "action_noise", None) is not None:
        restorer = Restorer()
        restorer.attributes(vars(model)["action_noise"], state["action_noise"], "action_noise")
        differences += restorer.problems
    _restore_tensors(model, state)
    saved = _numbered((each["class"], each) for each in state["callbacks"])
    present = _numbered((type(each).__name__, each) for each in every_callback(callback))
    for key, each in present.items():
        if key in saved:
            differences += _restore_callback(each, saved[key])
    missing = (name for name, number in saved if (name, number) not in present and name not in WITHOUT_STATE)
    differences += [f"no {name}, which was there before" for name in missing]
    if getattr(model, "use_sde", False) and "exploration" not in state:
        differences.append("another exploration matrix, which is drawn anew")
    return [*dict.fromkeys([*differences, *state.get("missing", ())])]


def _exploration_of(model: BaseAlgorithm) -> list[Any]:
    parts: tuple[Any, ...] = (model.policy, getattr(model.policy, "actor", None))
    return [
        each.action_dist for each in parts if isinstance(getattr(each, "action_dist", None), StateDependentNoiseDistribution)
    ]


def _tensors_of(model: BaseAlgorithm) -> dict[str, th.Tensor]:
    """Returns what SB3 saves beside parameters, such as SAC's entropy coefficient; ``set_parameters`` leaves it out."""
    names = [*model._get_torch_save_params()[1], "weights"]
    found = {name: getattr(model, name, None) for name in names}
    return {name: value for name, value in found.items() if isinstance(value, th.Tensor)}


def _restore_tensors(model: BaseAlgorithm, state: State) -> None:
    tensors = _tensors_of(model)
    for name, array in state.get("tensors", {}).items():
        if name in tensors:
            tensors[name].data.copy_(th.from_numpy(np.array(array)))


def _capture_episodes(model: BaseAlgorithm, missing: list[str]) -> State:
    episodes: State = {}
    for name in ("ep_info_buffer", "ep_success_buffer"):
        kept = list(getattr(model, name))
        # The keywords of a Monitor may name anything
        if _is_plain(kept, name, missing):
            episodes[name] = kept
    return episodes


def _is_plain(value: Any, name: str, missing: list[str]) -> bool:
    try:
        Recorder().value(value, name)
    except NotPlainError as error:
        missing.append(f"{name} ({error})")
        return False
    return True


def _check(model: BaseAlgorithm, venv: VecEnv, state: State) -> None:
    mine = {"algorithm": type(model).__name__, "env_id": env_id_of(venv), "n_envs": venv.num_envs}
    for name, value in mine.items():
        if value != state[name]:
            raise RunStateError(
                f"The checkpoint belongs to a run with {name}={state[name]}, and this one has {name}={value}."
                " Continue it with the same settings, or remove the state beside it to start from its weights alone."
            )
    layers = [type(layer).__name__ for layer in layers_of(venv)]
    if layers != state["venv"]["layers"]:
        raise RunStateError(
            f"The checkpoint's environments are wrapped in {', '.join(state['venv']['layers'])},"
            f" those of this run in {', '.join(layers)}. Continue it with the same settings."
        )


def _numbered(named: Iterable[tuple[str, Any]]) -> dict[tuple[str, int], Any]:
    """Returns what has names, by name and by its number among those of the same name."""
    seen: Counter[str] = Counter()
    numbered = {}
    for name, each in named:
        numbered[name, seen[name]] = each
        seen[name] += 1
    return numbered


def _versions() -> dict[str, str]:
    return {package: version(package) for package in PACKAGES}


def _venv_of(model: BaseAlgorithm) -> VecEnv:
    venv = model.get_env()
    assert venv is not None
    return venv


def every_callback(callback: Any) -> list[BaseCallback]:
    """Returns a callback with all those inside of it, in a fixed order."""
    if isinstance(callback, CallbackList):
        inner: Sequence[Any] = callback.callbacks
    elif isinstance(callback, EventCallback):
        inner = [callback.callback, getattr(callback, "callback_on_new_best", None)]
    else:
        inner = []
    return [callback, *(deeper for each in inner if each is not None for deeper in every_callback(each))]


def _capture_callback(callback: BaseCallback, missing: list[str]) -> State:
    name = type(callback).__name__
    state: State = {"class": name, "n_calls": callback.n_calls}
    if hasattr(callback, "run_state") and hasattr(callback, "restore_run_state"):
        own = callback.run_state()
        if _is_plain(own, f"what {name} tells of itself", missing):
            state["own"] = own
    else:
        recorder = Recorder({type(callback).__module__.partition(".")[0]})
        state["attributes"] = recorder.attributes(callback, name, OF_CALLBACKS | _arguments_of(callback))
        if not type(callback).__module__.startswith(KNOWN_CALLBACKS):
            missing += recorder.missing
    if isinstance(callback, EvalCallback):
        state["evaluations"] = {name: getattr(callback, name) for name in EVALUATIONS}
        # Its random numbers choose the goals of the next evaluations
        state["venv"] = capture_venv(callback.eval_env)
        missing += (f"of the evaluation: {each}" for each in state["venv"]["missing"])
    return state


def _arguments_of(callback: BaseCallback) -> set[str]:
    """Returns attributes that a callback was made with: who continues a run may change them."""
    classes = [each for each in type(callback).__mro__ if issubclass(each, BaseCallback)]
    return {name for each in classes for name in inspect.signature(each).parameters}


def _restore_callback(callback: BaseCallback, state: State) -> list[str]:
    callback.n_calls = state["n_calls"]
    restorer, differences = Restorer(), []
    if "own" in state and hasattr(callback, "restore_run_state"):
        callback.restore_run_state(state["own"])
    restorer.attributes(callback, state.get("attributes", {}), type(callback).__name__)
    if isinstance(callback, EvalCallback) and "evaluations" in state:
        for name, value in state["evaluations"].items():
            setattr(callback, name, value)
        differences = restore_venv(callback.eval_env, state["venv"])
    return restorer.problems + differences


def _capture_random(model: BaseAlgorithm) -> State:
    name, numbers, *rest = np.random.get_state()
    state: State = {
        "python": random.getstate(),
        "numpy": [name, np.asarray(numbers), *rest],
        "torch": th.get_rng_state().numpy(),
        "action_space": model.action_space.np_random.bit_generator.state,
    }
    if th.cuda.is_available():
        state["cuda"] = [each.numpy() for each in th.cuda.get_rng_state_all()]
    return state


def restore_random(model: BaseAlgorithm, state: State) -> None:
    """
    Puts the random states back.

    :param model: Right after :func:`restore`, at the very start of its rollout
    :param state: What :func:`capture` gave
    """
    for each, matrices in zip(_exploration_of(model), state.get("exploration", ()), strict=False):
        for name, array in matrices.items():
            setattr(each, name, th.from_numpy(array).to(model.device))
    saved = state["random"]
    kind, numbers, gauss = saved["python"]
    random.setstate((kind, tuple(numbers), gauss))
    np.random.set_state(tuple(saved["numpy"]))
    th.set_rng_state(th.from_numpy(saved["torch"]))
    model.action_space.np_random.bit_generator.state = saved["action_space"]
    if th.cuda.is_available() and "cuda" in saved:
        th.cuda.set_rng_state_all([th.from_numpy(each) for each in saved["cuda"]])
