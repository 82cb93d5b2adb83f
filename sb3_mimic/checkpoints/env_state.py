"""The state of one environment and of each wrapper around it. It is taken down where the environment runs."""

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np

from sb3_mimic.checkpoints.plain import Recorder, Restorer

State = dict[str, Any]

#: The two methods that :func:`teach` gives to all environments of a process
CAPTURE, RESTORE = "sb3_mimic_capture", "sb3_mimic_restore"
# Records of all past episodes: they grow without end, and nothing to come depends on them
PAST = frozenset({"episode_returns", "episode_lengths", "episode_times"})


def chain_of(env: gym.Env[Any, Any]) -> Iterator[gym.Env[Any, Any]]:
    """Returns an environment's wrappers from the outermost inwards, and the environment itself."""
    yield env
    while isinstance(env, gym.Wrapper):
        env = env.env
        yield env


def capture_env(env: gym.Env[Any, Any]) -> State:
    """
    Takes down the state of an environment and of its wrappers.

    :param env: In mid-episode
    :return: What :func:`restore_env` needs; under ``missing`` what could not be taken down, in words
    """
    chain = list(chain_of(env))
    inside = {id(each) for each in chain}
    packages = {type(each).__module__.partition(".")[0] for each in chain}
    recorder = Recorder(packages, lambda value: id(value) in inside or type(value).__module__.startswith("mujoco."))
    states = [_capture_one(each, recorder) for each in chain]
    return {"chain": states, "missing": recorder.missing, "kwargs": _kwargs_of(env)}


def _capture_one(env: gym.Env[Any, Any], recorder: Recorder) -> State:
    name = _name_of(env)
    state: State = {"class": name}
    try:
        if hasattr(env, "run_state") and hasattr(env, "restore_run_state"):
            return {**state, "own": recorder.value(env.run_state(), name)}
        state["attributes"] = recorder.attributes(env, name, PAST if isinstance(env, gym.Wrapper) else ())
        state["physics"] = {key: _capture_physics(data) for key, data in _physics_of(env)}
    except Exception as error:
        # Whatever another's code raises: a state without a part is better than none
        recorder.missing.append(f"{name} ({error!r})")
    return state


def restore_env(env: gym.Env[Any, Any], state: State) -> list[str]:
    """
    Puts an environment and its wrappers into a state that was taken down.

    :param env: Made as the one was that the state comes from
    :param state: What :func:`capture_env` gave, be it in another process
    :return: What is not as it was, in words
    """
    restorer, differences = Restorer(), list(state["missing"])
    changed = _changed(state["kwargs"], _kwargs_of(env))
    differences += [f"{name}={now!r} in place of {before!r}" for name, (before, now) in changed.items()]
    but = {each for name in changed for each in (name, f"_{name}")}
    saved: list[State | None] = list(state["chain"])
    for each in chain_of(env):
        name = _name_of(each)
        found = next((i for i, one in enumerate(saved) if one is not None and one["class"] == name), None)
        one = None if found is None else saved[found]
        if found is None or one is None:
            differences.append(f"a {name}, which was not there before")
            continue
        saved[found] = None
        try:
            _restore_one(each, one, restorer, but if each is env.unwrapped else set())
        except Exception as error:
            # Raised in a worker, it would end that, and with it the training
            differences.append(f"{name} ({error!r})")
    differences += [f"no {one['class']}, which was there before" for one in saved if one is not None]
    return differences + restorer.problems


def _restore_one(env: gym.Env[Any, Any], state: State, restorer: Restorer, but: set[str]) -> None:
    if "own" in state:
        env.get_wrapper_attr("restore_run_state")(restorer.value(state["own"]))
        return
    restorer.attributes(env, state.get("attributes", {}), _name_of(env), but)
    physics = state.get("physics", {})
    for key, data in _physics_of(env):
        _restore_physics(data, physics[key])


def _name_of(env: gym.Env[Any, Any]) -> str:
    # Where rl-zoo3 is imported, it puts a PatchedTimeLimit in place of TimeLimit
    return type(env).__name__.removeprefix("Patched")


def _kwargs_of(env: gym.Env[Any, Any]) -> State:
    """Returns what the environment was made with, as far as that is plain."""
    spec, recorder = env.unwrapped.spec, Recorder()
    kwargs: State = {}
    for name, value in (getattr(spec, "kwargs", None) or {}).items():
        if type(value) in (bool, int, float, str) and name != "render_mode":
            kwargs[name] = recorder.value(value, name)
    return kwargs


def _changed(before: State, now: State) -> dict[str, tuple[Any, Any]]:
    names = sorted(before.keys() | now.keys())
    return {name: (before.get(name), now.get(name)) for name in names if before.get(name) != now.get(name)}


def _physics_of(env: gym.Env[Any, Any]) -> Iterator[tuple[str, Any]]:
    """Returns MuJoCo's data among the attributes of an environment, by name."""
    for key, value in vars(env).items():
        if type(value).__name__ == "MjData" and type(value).__module__.startswith("mujoco."):
            yield key, value


def _arrays_of(data: Any) -> Iterator[tuple[str, Any]]:
    for name in dir(data):
        value = None if name.startswith("_") else getattr(data, name, None)
        if isinstance(value, np.ndarray):
            yield name, value


def _capture_physics(data: Any) -> State:
    import mujoco  # type: ignore[import-untyped,unused-ignore]

    kind = mujoco.mjtState.mjSTATE_INTEGRATION
    state = np.empty(mujoco.mj_stateSize(data.model, kind))
    mujoco.mj_getState(data.model, data, state, kind)
    # What is computed from it lags half a step behind: rewards may read it before it is computed anew
    return {"state": state, "arrays": {name: np.array(array) for name, array in _arrays_of(data)}}


def _restore_physics(data: Any, saved: State) -> None:
    import mujoco  # type: ignore[import-untyped,unused-ignore]

    kind = mujoco.mjtState.mjSTATE_INTEGRATION
    mujoco.mj_setState(data.model, data, saved["state"], kind)
    mujoco.mj_forward(data.model, data)
    for name, array in _arrays_of(data):
        if name in saved["arrays"] and saved["arrays"][name].shape == array.shape and array.flags.writeable:
            array[...] = saved["arrays"][name]
    mujoco.mj_setState(data.model, data, saved["state"], kind)


def teach() -> str:
    """
    Gives all environments of this process the methods :data:`CAPTURE` and :data:`RESTORE`.

    :return: The name of the first
    """
    setattr(gym.Env, CAPTURE, capture_env)
    setattr(gym.Env, RESTORE, restore_env)
    return CAPTURE


class Lesson:
    """
    Becomes a call of :func:`teach` in the process that it is sent to. The workers of SB3's ``SubprocVecEnv`` call methods
    of their environments and nothing else, and the outermost wrapper may be of any class.
    """

    def __reduce__(self) -> Any:
        return teach, ()
