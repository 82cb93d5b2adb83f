"""One set of running statistics for what is achieved and what is desired, and pictures beside them."""

from stable_baselines3.common.vec_env import VecEnv, VecNormalize, VecTransposeImage, unwrap_vec_normalize
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from sb3_mimic import keys
from sb3_mimic.errors import InputError

GOALS = (keys.ACHIEVED_GOAL, keys.DESIRED_GOAL)


def share_goal_statistics(venv: VecEnv) -> None:
    """
    Lets achieved and desired goals be normalised by one set of running statistics, which learns from both. It is shared in
    saved and copied statistics too. Nothing changes where not both are normalised.

    :param venv: Environments, in ``VecNormalize`` or not, before their first step
    :raises InputError: When the two goals have different shapes
    """
    normalization = unwrap_vec_normalize(venv)
    if normalization is None or shares_goal_statistics(normalization):
        return
    achieved, desired = (normalization.obs_rms[key] for key in GOALS)
    if achieved.mean.shape != desired.mean.shape:
        raise InputError(
            f"Goals of different shapes, {achieved.mean.shape} and {desired.mean.shape}, cannot share their statistics."
            " Leave them out of norm_obs_keys."
        )
    normalization.obs_rms[keys.DESIRED_GOAL] = achieved


class VecTransposeOutside(VecTransposeImage):
    """
    Moves the channels of pictures to the front, around ``VecNormalize``, for an off-policy algorithm whose replay buffer holds
    no pictures. SB3 takes what it stores from ``VecNormalize``, and so from inside; the last observations of episodes, which
    belong to that, are left as they are there. With SB3's own the two would have different shapes.

    :param venv: Environments whose observations hold pictures, channels last
    """

    def step_wait(self) -> VecEnvStepReturn:
        observations, rewards, dones, infos = self.venv.step_wait()
        return self.transpose_observations(observations), rewards, dones, infos  # type: ignore[arg-type]


def shares_goal_statistics(normalization: VecNormalize) -> bool:
    """
    Checks that goals which are both normalised are so by the same statistics.

    :param normalization: Environments that are normalised
    """
    statistics = getattr(normalization, "obs_rms", None)
    if not normalization.norm_obs or not isinstance(statistics, dict):
        return True
    achieved, desired = (statistics.get(key) for key in GOALS)
    return achieved is None or desired is None or achieved is desired
