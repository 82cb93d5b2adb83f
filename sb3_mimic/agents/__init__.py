"""Finds, loads and uses trained agents."""

from sb3_mimic.agents.agent import Agent, Memory, Setting
from sb3_mimic.agents.environments import make_env
from sb3_mimic.agents.loading import find_agent, find_agents, load_agent
from sb3_mimic.agents.refinement import Reading, refine

__all__ = ["Agent", "Memory", "Reading", "Setting", "find_agent", "find_agents", "load_agent", "make_env", "refine"]
