"""What the future of vectorised environments depends on: their episodes, stacked frames and running statistics."""

from collections.abc import Iterator
from typing import Any

from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, VecFrameStack, VecNormalize

from sb3_mimic.errors import RunStateError

State = dict[str, Any]

# Of gymnasium's TimeLimit and SB3's Monitor
WRAPPER_STATE = ("_elapsed_steps", "rewards", "needs_reset", "total_steps")


def env_id_of(venv: VecEnv) -> str:
    """:return: The id that all of the environments were made by"""
    spec = venv.get_attr("spec", 0)[0]
    return str(spec.id) if spec is not None else "unknown"


def layers_of(venv: VecEnv) -> Iterator[VecEnv]:
    """:return: Vectorised environments with all that they are wrapped in, from the outermost inwards"""
    yield venv
    while isinstance(venv, VecEnvWrapper):
        venv = venv.venv
        yield venv


def capture_venv(venv: VecEnv) -> State:
    """
    :param venv: Environments in mid-episode
    :return: What :func:`restore_venv` needs, but for running statistics
    :raises RunStateError: When an environment cannot tell its state
    """
    base = venv.unwrapped
    try:
        envs = base.env_method("run_state")
    except AttributeError as error:
        raise RunStateError(
            f"{env_id_of(venv)} cannot tell its state: it has no run_state(). Only environments of sb3_mimic have."
        ) from error
    return {
        "layers": [type(layer).__name__ for layer in layers_of(venv)],
        "stacks": [_stack_of(layer) for layer in layers_of(venv) if isinstance(layer, VecFrameStack)],
        "envs": envs,
        "wrappers": {name: base.get_attr(name) for name in WRAPPER_STATE if base.has_attr(name)},
        # Seeds that wait for the next reset
        "seeds": base._seeds,
    }


def restore_venv(venv: VecEnv, state: State) -> None:
    """
    :param venv: As many environments of the same kind, in the same wrappers
    :param state: What :func:`capture_venv` gave
    """
    base = venv.unwrapped
    for index, env_state in enumerate(state["envs"]):
        base.env_method("restore_run_state", env_state, indices=index)
        for name, values in state["wrappers"].items():
            base.env_method("set_wrapper_attr", name, values[index], indices=index)
    base._seeds = state["seeds"]
    stacks = (layer for layer in layers_of(venv) if isinstance(layer, VecFrameStack))
    for layer, saved in zip(stacks, state["stacks"], strict=True):
        for key, stack in _stacks(layer).items():
            stack.stacked_obs = saved[key]


def _stacks(layer: VecFrameStack) -> dict[str, Any]:
    stacked: Any = layer.stacked_obs
    return dict(getattr(stacked, "sub_stacked_observations", None) or {"": stacked})


def _stack_of(layer: VecFrameStack) -> State:
    return {key: stack.stacked_obs for key, stack in _stacks(layer).items()}


def normalization_of(venv: VecEnv) -> State | None:
    """
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
