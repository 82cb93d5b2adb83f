"""What the future of vectorised environments depends on: their episodes, stacked frames and running statistics."""

from collections.abc import Iterator
from typing import Any

from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import SubprocVecEnv, VecEnv, VecEnvWrapper, VecFrameStack, VecNormalize

from sb3_mimic.checkpoints.env_state import CAPTURE, RESTORE, Lesson, capture_env, restore_env
from sb3_mimic.checkpoints.plain import NotPlainError, Recorder, Restorer

State = dict[str, Any]

# What every VecEnv has of its environments, and what is taken down by itself
COMMON = frozenset({"venv", "envs", "num_envs", "reset_infos", "_seeds", "_options", "class_attributes", "waiting", "closed"})
COMMON |= {"remotes", "work_remotes", "processes", "actions", "keys", "stacked_obs", "obs_rms", "ret_rms", "returns"}
COMMON |= {"buf_obs", "buf_dones", "buf_rews", "buf_infos"}
# Of gymnasium's TimeLimit and SB3's Monitor, as the first format of the file names them
OLD_WRAPPER_STATE = ("_elapsed_steps", "rewards", "needs_reset", "total_steps")


def env_id_of(venv: VecEnv) -> str:
    """Returns the id that all of the environments were made by."""
    try:
        spec = venv.get_attr("spec", 0)[0]
    except (AttributeError, NotImplementedError):
        spec = None
    return str(spec.id) if spec is not None else "unknown"


def layers_of(venv: VecEnv) -> Iterator[VecEnv]:
    """Returns vectorised environments with all that they are wrapped in, from the outermost inwards."""
    yield venv
    while isinstance(venv, VecEnvWrapper):
        venv = venv.venv
        yield venv


def capture_venv(venv: VecEnv) -> State:
    """
    Takes down the state of vectorised environments and of all that they are wrapped in.

    :param venv: Environments in mid-episode
    :return: What :func:`restore_venv` needs, but for running statistics; under ``missing`` what could not be taken down
    """
    base = venv.unwrapped
    recorder = Recorder()
    envs = _capture_envs(base, recorder.missing)
    own = [recorder.attributes(layer, type(layer).__name__, COMMON) for layer in layers_of(venv)]
    try:
        reset_infos = recorder.value(list(base.reset_infos), "reset_infos")
    except NotPlainError as error:
        reset_infos = None
        recorder.missing.append(f"infos of the last resets ({error})")
    seen = dict.fromkeys(each for env in envs for each in env["missing"])
    return {
        "layers": [type(layer).__name__ for layer in layers_of(venv)],
        "stacks": [_stack_of(layer) for layer in layers_of(venv) if isinstance(layer, VecFrameStack)],
        "envs": envs,
        "own": own,
        "reset_infos": reset_infos,
        # Seeds that wait for the next reset
        "seeds": base._seeds,
        "missing": [*seen, *recorder.missing],
    }


def _capture_envs(base: VecEnv, missing: list[str]) -> list[State]:
    if isinstance(base, SubprocVecEnv):
        base.env_method("has_wrapper_attr", Lesson())
        return list(base.env_method(CAPTURE))
    if hasattr(base, "envs"):
        return [capture_env(env) for env in base.envs]
    missing.append(f"the environments in a {type(base).__name__}")
    return []


def restore_venv(venv: VecEnv, state: State) -> list[str]:
    """
    Puts vectorised environments into a state that was taken down.

    :param venv: As many environments of the same kind, in the same wrappers
    :param state: What :func:`capture_venv` gave
    :return: What is not as it was, in words
    """
    base = venv.unwrapped
    base._seeds = state["seeds"]
    stacks = (layer for layer in layers_of(venv) if isinstance(layer, VecFrameStack))
    for layer, saved in zip(stacks, state["stacks"], strict=True):
        for key, stack in _stacks(layer).items():
            stack.stacked_obs = saved[key]
    if "own" not in state:
        _restore_old(base, state)
        return []
    differences = dict.fromkeys(state["missing"])
    restorer = Restorer()
    for each, attributes in zip(layers_of(venv), state["own"], strict=True):
        restorer.attributes(each, attributes, type(each).__name__, COMMON)
    if state["reset_infos"] is not None:
        base.reset_infos = restorer.value(state["reset_infos"])
    if isinstance(base, SubprocVecEnv):
        base.env_method("has_wrapper_attr", Lesson())
    for index, saved in enumerate(state["envs"]):
        if isinstance(base, SubprocVecEnv):
            (found,) = base.env_method(RESTORE, saved, indices=index)
        else:
            found = restore_env(vars(base)["envs"][index], saved)
        differences |= dict.fromkeys(found)
    return [*differences, *restorer.problems]


def _restore_old(base: VecEnv, state: State) -> None:
    for index, env_state in enumerate(state["envs"]):
        base.env_method("restore_run_state", env_state, indices=index)
        for name in OLD_WRAPPER_STATE:
            if name in state["wrappers"]:
                base.env_method("set_wrapper_attr", name, state["wrappers"][name][index], indices=index)


def _stacks(layer: VecFrameStack) -> dict[str, Any]:
    stacked: Any = layer.stacked_obs
    return dict(getattr(stacked, "sub_stacked_observations", None) or {"": stacked})


def _stack_of(layer: VecFrameStack) -> State:
    return {key: stack.stacked_obs for key, stack in _stacks(layer).items()}


def normalization_of(venv: VecEnv) -> State | None:
    """
    Takes down the running statistics of environments.

    :param venv: Environments
    :return: Their running statistics, or None where nothing is normalised
    """
    for layer in layers_of(venv):
        if isinstance(layer, VecNormalize):
            rms = getattr(layer, "obs_rms", None)
            by_key = rms if isinstance(rms, dict) else {} if rms is None else {"": rms}
            return {
                "obs_rms": {key: _statistics(each) for key, each in by_key.items()},
                "ret_rms": _statistics(layer.ret_rms),
                "returns": layer.returns,
            }
    return None


def set_normalization(venv: VecEnv, state: State | None) -> None:
    """
    Gives environments running statistics.

    :param venv: Environments that are normalised in the same way as those that the statistics come from
    :param state: What :func:`normalization_of` gave
    """
    for layer in layers_of(venv):
        if state is not None and isinstance(layer, VecNormalize):
            rms: Any = getattr(layer, "obs_rms", None)
            by_key = rms if isinstance(rms, dict) else {"": rms}
            for key, statistics in state["obs_rms"].items():
                _set_statistics(by_key[key], statistics)
            _set_statistics(layer.ret_rms, state["ret_rms"])
            if len(state["returns"]) == layer.num_envs:
                layer.returns = state["returns"]


def _statistics(rms: RunningMeanStd) -> State:
    return {"mean": rms.mean, "var": rms.var, "count": rms.count}


def _set_statistics(rms: RunningMeanStd, state: State) -> None:
    rms.mean, rms.var, rms.count = state["mean"], state["var"], state["count"]
