"""Installs the servers' Debian packages without starting what is in them."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.servers.process import ServerMissing

POLICY = Path("/usr/sbin/policy-rc.d")
FORBIDDEN = "#!/bin/sh\nexit 101\n"  # what invoke-rc.d takes for "do not start it"


def install(packages: Sequence[str]) -> None:
    """Raises ServerMissing where that is not possible."""
    wanted = " ".join(packages)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise ServerMissing(f"servers are not on this machine: as root, apt-get install {wanted}")
    print(f"installing {wanted}", flush=True)
    with _no_service_started():
        _apt("update", "-qq")
        _apt("install", "-qq", "--yes", "--no-install-recommends", *packages)


def _apt(*arguments: str) -> None:
    command = ["apt-get", *arguments]
    done = subprocess.run(
        command, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"}, capture_output=True, text=True
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ServerMissing(f"`{' '.join(command)}` failed: {reason}")


@contextmanager
def _no_service_started() -> Iterator[None]:
    """The tests start their own servers, elsewhere; a machine's own policy stays as it is."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text(FORBIDDEN)
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()
