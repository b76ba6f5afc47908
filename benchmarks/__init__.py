"""Figures that anybody can make again: `python -m benchmarks.<name>`."""
