"""Suites that any connector and any warehouse must pass."""
