"""Engines that generate tokens, each in a process of its own, asked and answering in JSON lines."""
