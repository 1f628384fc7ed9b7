"""Convoy's processes as children: the coordinator beside the driver, members inside tasks."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from typing import Callable, Mapping, Sequence

from pyspark import SparkFiles

# Exit codes of convoy that another try cannot change.
_DONE, _USAGE, _DATA, _LOST, _INTERRUPTED = 0, 64, 65, 69, 130

# Standard output of a Spark task's process belongs to Spark.
_TO_STANDARD_ERROR = 2


def find_convoy(program: str) -> str:
    """The full path of the executable on this host; the one that was shipped, if one was.

    Throws: FileNotFoundError when it is not there.
    """
    shipped = SparkFiles.get(os.path.basename(program))
    found = shipped if os.path.isfile(shipped) else shutil.which(program)
    if found is None:
        raise FileNotFoundError(
            f"convoy: no program {program} on {os.uname().nodename}; install it at the same place "
            "on every host, or let the driver ship it"
        )
    return found


def environment(keys: str | None) -> Mapping[str, str]:
    """The environment of a role: that of this process, and where its keys are."""
    return {**os.environ, "CONVOY_KEYS": keys} if keys else os.environ


def stop(process: subprocess.Popen, patience: float) -> int:
    """Asks a process to end, kills it when it does not; returns its exit code."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


def _without_config(flags: Sequence[str]) -> list[str]:
    """The flags except `--config FILE`."""
    return [
        flag
        for before, flag in zip(["", *flags], flags)
        if "--config" not in (before, flag) and not flag.startswith("--config=")
    ]


class RestartBudget:
    """So many restarts within a minute; a process that dies more often has another trouble."""

    def __init__(self, per_minute: int = 20) -> None:
        self._per_minute = per_minute
        self._times: list[float] = []

    def spend(self) -> bool:
        now = time.monotonic()
        self._times = [then for then in self._times if now - then < 60]
        self._times.append(now)
        return len(self._times) <= self._per_minute


class Coordinator:
    """A coordinator as child of this process, started again at the same address if it is killed.

    Threading: a thread of its own waits for the process, and calls `on_end` last of all.
    """

    def __init__(
        self,
        convoy: str,
        flags: Sequence[str],
        run_directory: str,
        address: str,
        keys: str | None,
        on_end: Callable[[], None],
    ) -> None:
        self._command = [find_convoy(convoy), "coordinator", "--run-dir", run_directory]
        self._flags = list(flags)
        self._environment = environment(keys)
        self._on_end = on_end
        self._budget = RestartBudget()
        self._is_stopping = False
        self.exit_code: int | None = None
        endpoint_file = os.path.join(run_directory, "endpoint")
        going_on = []
        if os.path.exists(os.path.join(run_directory, "config.yaml")):
            going_on = ["--resume", "--fresh-members"]
            if os.path.exists(endpoint_file):
                os.unlink(endpoint_file)
        self._process = self._start("--listen", f"tcp://{address}:*", *going_on)
        self.endpoint = self._await_endpoint(endpoint_file, within=120)
        self._thread = threading.Thread(target=self._watch, name="convoy-coordinator", daemon=True)
        self._thread.start()

    def _start(self, *more: str) -> subprocess.Popen:
        # A run that goes on has a run file of its own.
        flags = _without_config(self._flags) if "--resume" in more else self._flags
        return subprocess.Popen(
            [*self._command, *flags, *more], stdin=subprocess.DEVNULL, env=self._environment
        )

    def _await_endpoint(self, file: str, within: float) -> str:
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            if os.path.exists(file):
                with open(file, encoding="utf-8") as lines:
                    return lines.readline().strip()
            if self._process.poll() is not None:
                raise RuntimeError(
                    f"convoy coordinator ended with exit code {self._process.returncode} before "
                    "it listened; see its line on standard error"
                )
            time.sleep(0.05)
        stop(self._process, patience=5)
        raise RuntimeError(f"convoy coordinator did not begin to listen within {within:.0f} s")

    def _watch(self) -> None:
        while True:
            code = self._process.wait()
            if code >= 0 or self._is_stopping or not self._budget.spend():
                break
            print(f"the coordinator was ended by signal {-code}; another takes its place",
                  file=sys.stderr)
            self._process = self._start("--listen", self.endpoint, "--resume")
        self.exit_code = code
        self._on_end()

    def wait(self, within: float) -> int | None:
        """The exit code, or nothing when the coordinator is at work after so many seconds."""
        self._thread.join(within)
        return self.exit_code

    def stop(self) -> None:
        """Ends the coordinator, which takes a checkpoint before if it can."""
        self._is_stopping = True
        stop(self._process, patience=30)
        self._thread.join(5)


class Member:
    """A worker or server as child of this process, started again while it dies.

    The child holds the other end of a pipe from this process, so it ends with it, also when this
    process is killed.
    """

    def __init__(self, command: Sequence[str], keys: str | None) -> None:
        self._command = [*command, "--exit-with-parent"]
        self._environment = environment(keys)
        self._budget = RestartBudget()
        self.restarts = 0
        self._process = self._start()

    def _start(self) -> subprocess.Popen:
        return subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=_TO_STANDARD_ERROR,
            stderr=_TO_STANDARD_ERROR,
            env=self._environment,
        )

    def poll(self) -> int | None:
        """The exit code once the member has ended for good.

        Killed by a signal or by trouble of its own it is replaced, unless that happens too often.
        """
        code = self._process.poll()
        if code in (None, _DONE, _USAGE, _DATA, _LOST, _INTERRUPTED):
            return code
        if not self._budget.spend():
            return code
        what = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        print(f"{self._command[1]} (pid {self._process.pid}) ended with {what}; another takes its "
              "place", file=sys.stderr)
        self.restarts += 1
        self._process = self._start()
        return None

    def wait(self, within: float) -> int | None:
        """Polls until the member has ended for good."""
        deadline = time.monotonic() + within
        while (code := self.poll()) is None and time.monotonic() < deadline:
            time.sleep(0.05)
        return code

    def stop(self) -> None:
        stop(self._process, patience=5)
