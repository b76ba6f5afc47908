"""Faults on purpose: whatever is killed, whenever, every accepted job ends, nothing is paid twice, no event is lost.

`python -m tests.chaos` (or `make chaos`) starts an installation of its own, breaks it at every place of the matrix,
shakes it at random in the soak, and asks the oracle.
"""
