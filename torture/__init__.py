"""Hostile tests of the engine that run for minutes: `python -m torture`; docs/reliability.md says what for."""
