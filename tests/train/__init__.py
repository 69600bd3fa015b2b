"""The trainer on made-up data, one file for each part of it."""
