"""Trained agents in use."""

from sb3_mimic.agents.loading import Agent, Memory, find_agent, find_agents, load_agent

__all__ = ["Agent", "Memory", "find_agent", "find_agents", "load_agent"]
