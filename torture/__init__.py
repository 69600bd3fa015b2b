"""Hostile tests of the engine, for minutes: `python -m torture`; docs/reliability.md says what they show."""
