"""All that the future of a training depends on beside weights and optimisers: taken down, and put back."""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import torch as th
from sb3_contrib.common.recurrent.type_aliases import RNNStates
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, EvalCallback, EventCallback
from stable_baselines3.common.vec_env import VecEnv

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
COUNTERS = ("num_timesteps", "_episode_num", "_n_updates")
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


def capture(model: BaseAlgorithm, callback: BaseCallback) -> State:
    """
    :param model: Between two rollouts
    :param callback: All callbacks of the training
    :return: What :func:`restore` needs
    :raises RunStateError: When an environment or a replay buffer cannot tell its state
    """
    venv = _venv_of(model)
    state: State = {
        "versions": _versions(),
        "algorithm": type(model).__name__,
        "env_id": env_id_of(venv),
        "n_envs": venv.num_envs,
        "total_timesteps": model._total_timesteps,
        "counters": {name: getattr(model, name) for name in COUNTERS if hasattr(model, name)},
        "observed": {name: getattr(model, name) for name in OBSERVED if getattr(model, name, None) is not None},
        "episodes": {name: getattr(model, name) for name in ("ep_info_buffer", "ep_success_buffer")},
        "venv": capture_venv(venv),
        "normalization": normalization_of(venv),
        "callbacks": [_capture_callback(each) for each in every_callback(callback)],
        "random": _capture_random(model),
    }
    hidden = getattr(model, "_last_lstm_states", None)
    if hidden is not None:
        state["hidden"] = [[part.cpu().numpy() for part in parts] for parts in hidden]
    buffer = getattr(model, "replay_buffer", None)
    if buffer is not None:
        state["replay_buffer"] = _capture_buffer(buffer)
    return state


def restore(model: BaseAlgorithm, callback: BaseCallback, state: State) -> list[str]:
    """
    Put everything back but the random states, which :func:`restore_random` is for: it must come last.

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
    restore_venv(venv, state["venv"])
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
        _restore_buffer(vars(model)["replay_buffer"], state["replay_buffer"])
    saved = _numbered((each["class"], each) for each in state["callbacks"])
    present = _numbered((type(each).__name__, each) for each in every_callback(callback))
    for key, each in present.items():
        if key in saved:
            _restore_callback(each, saved[key])
    missing = (name for name, number in saved if (name, number) not in present and name != "ProgressBarCallback")
    differences += [f"no {name}, which was there before" for name in missing]
    if getattr(model, "use_sde", False):
        differences.append("another exploration matrix, which is drawn anew")
    return differences


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
    """:return: What has names, by name and by its number among those of the same name"""
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
    """:return: A callback with all those inside of it, in a fixed order"""
    if isinstance(callback, CallbackList):
        inner: Sequence[Any] = callback.callbacks
    elif isinstance(callback, EventCallback):
        inner = [callback.callback, getattr(callback, "callback_on_new_best", None)]
    else:
        inner = []
    return [callback, *(deeper for each in inner if each is not None for deeper in every_callback(each))]


def _capture_callback(callback: BaseCallback) -> State:
    state: State = {"class": type(callback).__name__, "n_calls": callback.n_calls}
    if hasattr(callback, "run_state"):
        state["own"] = callback.run_state()
    if isinstance(callback, EvalCallback):
        state["evaluations"] = {name: getattr(callback, name) for name in EVALUATIONS}
        # Its random numbers choose the goals of the next evaluations
        state["venv"] = capture_venv(callback.eval_env)
    return state


def _restore_callback(callback: BaseCallback, state: State) -> None:
    callback.n_calls = state["n_calls"]
    if "own" in state and hasattr(callback, "restore_run_state"):
        callback.restore_run_state(state["own"])
    if isinstance(callback, EvalCallback) and "evaluations" in state:
        for name, value in state["evaluations"].items():
            setattr(callback, name, value)
        restore_venv(callback.eval_env, state["venv"])


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
    :param model: Right after :func:`restore`, at the very start of its rollout
    :param state: What :func:`capture` gave
    """
    saved = state["random"]
    kind, numbers, gauss = saved["python"]
    random.setstate((kind, tuple(numbers), gauss))
    np.random.set_state(tuple(saved["numpy"]))
    th.set_rng_state(th.from_numpy(saved["torch"]))
    model.action_space.np_random.bit_generator.state = saved["action_space"]
    if th.cuda.is_available() and "cuda" in saved:
        th.cuda.set_rng_state_all([th.from_numpy(each) for each in saved["cuda"]])


def _capture_buffer(buffer: Any) -> State:
    """Its arrays as far as they are filled, by name; those of a Dict by name and key."""
    size = buffer.size()
    state: State = {"pos": buffer.pos, "full": buffer.full, "arrays": {}}
    for name, value in vars(buffer).items():
        for key, array in _arrays_of(name, value):
            if array.dtype == object:
                raise RunStateError(f"The replay buffer's {name} holds objects: set copy_info_dict to False.")
            state["arrays"][key] = array[:size] if len(array) == buffer.buffer_size else array
    return state


def _restore_buffer(buffer: Any, state: State) -> None:
    buffer.pos, buffer.full = state["pos"], state["full"]
    for name, value in vars(buffer).items():
        for key, array in _arrays_of(name, value):
            saved = state["arrays"][key]
            array[: len(saved)] = saved


def _arrays_of(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, np.ndarray) and value.ndim:
        yield name, value
    elif isinstance(value, dict):
        for key, array in value.items():
            if isinstance(array, np.ndarray):
                yield f"{name}/{key}", array
