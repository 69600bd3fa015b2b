"""Fuzzing: what others may hand to the engine, changed at random, led by the lines that it reaches."""
