"""Programs that the suite runs, and the ones that it starts and stops."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
REGION = "eu-central-1"
# The SAM translator and the SAM CLI want one, whatever they do.
os.environ["AWS_DEFAULT_REGION"] = REGION


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(*command, env=None, quiet=True, cwd=ROOT):
    """Runs a program to its end; its output is shown only if it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.STDOUT if quiet else None,
        text=True,
    )
    if done.returncode != 0:
        sys.stdout.write(done.stdout or "")
        raise SystemExit(f"failed ({done.returncode}): {' '.join(map(str, command))}")
    return done.stdout or ""


class Started:
    """A program in the background, ended with the block; with a process group of its own, so that its children end too."""

    def __init__(self, command, log, env=None, cwd=ROOT):
        self.log = Path(log)
        self.output = self.log.open("w")
        self.process = subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for ending in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, ending)
                self.process.wait(timeout=10)
            except (ProcessLookupError, PermissionError):
                break
            except subprocess.TimeoutExpired:
                continue
        self.process.wait()
        self.output.close()

    def wait_for(self, is_ready, seconds=60):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise SystemExit(f"ended too early:\n{self.log.read_text()[-4000:]}")
            if is_ready():
                return
            time.sleep(0.1)
        raise SystemExit(f"not ready after {seconds} s:\n{self.log.read_text()[-4000:]}")


def listens(port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
