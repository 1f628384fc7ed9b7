"""Trains inside a barrier stage: Spark's executors are the cluster.

The coordinator is a child of the driver; a task of the stage runs a worker, and the first tasks a
parameter server each, as children too. A worker that is killed is started again by its task. An
executor that is lost fails the stage, Spark starts all of its tasks again, and the new members join
the coordinator, who has waited. No fault changes a bit of the result.
"""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import threading
import time
import uuid
from dataclasses import dataclass
from typing import Callable, Iterable, Sequence

from pyspark import BarrierTaskContext
from pyspark.sql import SparkSession

from .processes import Coordinator, Member, find_convoy

# Tasks that are left when the coordinator has ended get so long to end by themselves.
_FAREWELL_SECONDS = 30


@dataclass(frozen=True)
class ClusterSettings:
    """How many processes there are, and how they find one another."""

    workers: int | None = None
    """Tasks of the barrier stage, all of which must run at a time; as many as fit, if not given."""
    servers: int = 1
    """Parameter servers, at most as many as workers; 0 puts a shard into every worker."""
    threads: int | None = None
    """Compute threads of a worker; spark.task.cpus if not given."""
    convoy: str = "convoy"
    """The program, at the same path on every host unless `ship` has sent it."""
    address: str | None = None
    """Where the coordinator listens; the driver's address if not given."""
    keys: str | None = None
    """The directory with the keys, on every host; see `convoy keygen`."""
    is_insecure: bool = False
    """Whether to go without keys beyond this machine."""


@dataclass(frozen=True)
class TrainingResult:
    """What a run has left."""

    checkpoint: str
    """The newest checkpoint, on the driver's disk."""
    summary: dict
    """What `summary.json` holds; `weights_sha256` among it."""
    restarts: int
    """Members that were started again by their tasks."""


def train(
    spark: SparkSession,
    data: str,
    run_directory: str,
    flags: Sequence[str] = (),
    settings: ClusterSettings = ClusterSettings(),
) -> TrainingResult:
    """Trains on a partitioned directory, which driver and executors see at the same path.

    Args:
        data: what `--data` takes, for instance `partitions:/shared/fashion`.
        run_directory: on the driver; a run that is there goes on from its newest checkpoint.
        flags: of `convoy coordinator`, for instance `["--steps", "300"]`.

    Throws: RuntimeError when the run did not end well; call again to go on with it.
    """
    context = spark.sparkContext
    cpus = int(context.getConf().get("spark.task.cpus", "1"))
    workers = settings.workers or max(1, context.defaultParallelism // cpus)
    if settings.servers > workers:
        raise ValueError(
            f"servers: expected at most the {workers} workers, found {settings.servers}"
        )
    threads = settings.threads or cpus
    group = f"convoy-{uuid.uuid4()}"
    farewell = threading.Timer(_FAREWELL_SECONDS, context.cancelJobGroup, [group])
    farewell.daemon = True
    coordinator = Coordinator(
        settings.convoy,
        [
            *flags, "--data", data, "--workers", str(workers), "--threads", str(threads),
            "--servers", str(settings.servers), *(["--insecure"] if settings.is_insecure else []),
        ],
        run_directory,
        settings.address or _address(context),
        settings.keys,
        on_end=farewell.start,
    )
    failure: Exception | None = None
    restarts = 0
    try:
        context.setJobGroup(group, f"convoy: {data}", interruptOnCancel=True)
        stage = context.parallelize(range(workers), workers).barrier()
        task = _task(coordinator.endpoint, threads, settings)
        # Spark starts a barrier stage again only where a shuffle follows it.
        counts: list[int] = stage.mapPartitions(task).repartition(1).collect()
        restarts = sum(counts)
    except Exception as error:  # pylint: disable=broad-except
        # Whatever Spark says, a coordinator that has ended well has the result.
        failure = error
    else:
        coordinator.wait(within=60)
    finally:
        coordinator.stop()
        farewell.cancel()
    if coordinator.exit_code != 0:
        raise RuntimeError(
            f"the run ended with exit code {coordinator.exit_code}; train again with "
            f"{run_directory} to go on from its newest checkpoint"
        ) from failure
    with open(os.path.join(run_directory, "summary.json"), encoding="utf-8") as file:
        summary = json.load(file)
    return TrainingResult(newest_checkpoint(run_directory), summary, restarts)


def newest_checkpoint(run_directory: str) -> str:
    """The checkpoint of the highest step; a name without .tmp is whole."""
    directory = os.path.join(run_directory, "checkpoints")
    steps = [name for name in os.listdir(directory) if name.startswith("step-")]
    whole = [name for name in steps if not name.endswith(".tmp")]
    if not whole:
        raise FileNotFoundError(f"{directory}: expected a checkpoint, found none")
    return os.path.join(directory, max(whole))


def _address(context) -> str:
    """Where executors reach the driver."""
    if context.master.startswith("local"):
        return "127.0.0.1"
    host = context.getConf().get("spark.driver.host", socket.gethostname())
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return socket.gethostbyname(host)


def _task(
    endpoint: str, threads: int, settings: ClusterSettings
) -> Callable[[Iterable[int]], Iterable[int]]:
    """What a task of the stage does; it yields how often it started a member again."""

    def run(_: Iterable[int]) -> Iterable[int]:
        context = BarrierTaskContext.get()
        rank = context.partitionId()
        program = find_convoy(settings.convoy)
        # Nobody begins before everybody has the program.
        context.barrier()

        def member(role: str, *flags: str) -> Member:
            return Member(
                [program, role, "--coordinator", endpoint, "--label", f"{role} {rank}", *flags],
                settings.keys,
            )

        members = [member("worker", "--threads", str(threads))]
        if rank < settings.servers:
            members.append(member("server"))
        try:
            while (code := members[0].poll()) is None:
                for other in members[1:]:
                    other.poll()
                time.sleep(0.1)
            if code != 0:
                raise RuntimeError(f"convoy worker {rank} ended with exit code {code}")
            for other in members[1:]:
                other.wait(within=10)
        finally:
            for each in members:
                each.stop()
        yield sum(each.restarts for each in members)

    return run
