"""Scores trials so that they can be compared, whatever they tune."""

import copy
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, sync_envs_normalization

from sb3_mimic import keys
from sb3_mimic.translator.base import Translator
from sb3_mimic.tuning.environment import REWARD_WEIGHTS, probe

# All trials are examined with the same poses: neither those of a training nor those of another measure
EXAMINATION_SEED = 700_000
# The same whatever reward a trial trains by. The distance tells those apart that never arrive
SCORED_REWARD = {"sparse": 1.0, "keypoint_distance": -1.0}
MEASURES = {
    True: "Score: minus the steps of an episode with a key point over 5 cm away, minus the distance in m summed over them.",
    False: "Score: the mean return.",
}


class GoalFromPicture(gym.Wrapper[Any, Any, Any, Any]):
    """
    Replaces the goal by what a translator reads in its picture, so that the score depends on how well it reads.

    :param env: An environment that observes a goal and a picture of it
    :param examination: Holds the translator, once there is one
    """

    def __init__(self, env: gym.Env[Any, Any], examination: "Examination"):
        super().__init__(env)
        self._examination = examination
        self._read: Any = None

    def reset(self, **kwargs: Any) -> Any:
        observation, info = self.env.reset(**kwargs)
        translator = self._examination.translator
        self._read = None if translator is None else translator.predict(observation[keys.DESIRED_IMAGE])
        return self._seen(observation), info

    def step(self, action: Any) -> Any:
        observation, *rest = self.env.step(action)
        return self._seen(observation), *rest

    def _seen(self, observation: Any) -> Any:
        if self._read is None:
            return observation
        # Where only the first parts of a state are read, the rest is known
        goal = observation[keys.DESIRED_GOAL]
        # And where the camera is, which may be read too, is not part of a goal
        read = self._read[: len(goal)]
        return {**observation, keys.DESIRED_GOAL: np.concatenate([read, goal[len(read) :]])}


class Examination:
    """
    Scores a model, with the same poses and the same reward for every trial, whatever reward it was trained by. Where the
    environment measures no poses or takes no other reward, its own reward is used.

    :param manager: The zoo's manager of the training
    """

    def __init__(self, manager: Any):
        self._manager = manager
        self.translator: Translator | None = None
        self.envs: VecEnv | None = None

    def make_envs(self, n_envs: int) -> VecEnv:
        """Makes environments to examine in, wrapped as those of the training are."""
        manager = copy.copy(self._manager)
        manager.seed = EXAMINATION_SEED
        manager.vec_env_class = DummyVecEnv
        offer = probe(manager.env_name.gym_id, manager.eval_env_kwargs)
        if offer.is_scored_by_pose:
            manager.eval_env_kwargs = {**manager.eval_env_kwargs, REWARD_WEIGHTS: SCORED_REWARD}
            if {keys.DESIRED_GOAL, keys.DESIRED_IMAGE} <= offer.keys:
                inner = manager.env_wrapper or (lambda env: env)
                manager.env_wrapper = lambda env: GoalFromPicture(inner(env), self)
        self.envs = manager.create_envs(n_envs, eval_env=True)
        return self.envs

    def attach(self, model: BaseAlgorithm) -> None:
        """
        Takes the translator of the model to examine.

        :param model: The model
        """
        self.translator = getattr(model.policy, "translator", None)

    def ask_the_same_again(self) -> None:
        """Makes the next evaluation start with the same poses as this one."""
        assert self.envs is not None
        self.envs.seed(EXAMINATION_SEED)

    def score(self, model: BaseAlgorithm) -> float:
        """Returns the mean return of a model over the examination's episodes."""
        assert self.envs is not None
        self.attach(model)
        if model.get_vec_normalize_env() is not None:
            training_envs = model.get_env()
            assert training_envs is not None
            sync_envs_normalization(training_envs, self.envs)
        self.ask_the_same_again()
        mean, _ = evaluate_policy(
            model, self.envs, self._manager.n_eval_episodes, deterministic=self._manager.deterministic_eval, warn=False
        )
        assert isinstance(mean, float)
        return float(mean)


class FinalScore(BaseCallback):
    """
    Examines the model that a trial ends with: the zoo's last evaluation comes before the last updates.

    :param examination: The examination
    """

    def __init__(self, examination: Examination):
        super().__init__()
        self.examination = examination
        self.score = float("nan")

    def _init_callback(self) -> None:
        self.examination.attach(self.model)

    def _on_step(self) -> bool:
        self.examination.ask_the_same_again()
        return True

    def _on_training_end(self) -> None:
        self.score = self.examination.score(self.model)
