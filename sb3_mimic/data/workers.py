"""Does independent tasks in several processes or on a cluster; what a process that died was doing is done again."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, TypeVar

from sb3_mimic.errors import PackageError, WorkerError

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")

# A task that has killed so many processes will kill the next one, too
N_TRIES = 3
# So many tasks a processor are on their way
AHEAD = 1.5


def done(
    function: Callable[[TaskT], ResultT], tasks: Sequence[TaskT], n_workers: int = 1, cluster: str | None = None
) -> Iterator[tuple[TaskT, ResultT]]:
    """
    Does tasks, and hands over what comes of each as soon as it is there. A process that dies is replaced, and what it did and
    all that waited is done by others.

    :param function: What to do with a task; of a module, so that processes find it
    :param tasks: What it is to be done with
    :param n_workers: Processes; with one all is done in this process
    :param cluster: Address of a Ray cluster whose processes are taken instead, ``auto`` for the one that this machine is part
        of; results travel to this process
    :return: Tasks and results, in the order in which they are ready
    :raises WorkerError: When a task's process has died for the third time, or there is no such cluster
    :raises PackageError: When Ray is needed and not installed
    """
    if cluster is not None:
        yield from _on_cluster(function, tasks, cluster)
        return
    if n_workers == 1:
        yield from ((task, function(task)) for task in tasks)
        return
    left = dict(enumerate(tasks))
    while left:
        for key, result in _until_one_dies(function, left, n_workers):
            yield left.pop(key), result
        # One of those that ran has killed its process, nobody knows which: each is tried alone
        for key in sorted(left)[:n_workers]:
            yield left[key], _alone(function, left[key])
            del left[key]


def _until_one_dies(
    function: Callable[[TaskT], ResultT], tasks: Mapping[int, TaskT], n_workers: int
) -> Iterator[tuple[int, ResultT]]:
    """Does tasks until a process dies, in their order."""
    with _pool(min(n_workers, len(tasks))) as executor:
        futures: dict[Future[ResultT], int] = {executor.submit(function, task): key for key, task in sorted(tasks.items())}
        try:
            for future in as_completed(futures):
                if not isinstance(future.exception(), BrokenProcessPool):
                    yield futures[future], future.result()
        finally:
            # What raises an error of its own ends all
            executor.shutdown(wait=True, cancel_futures=True)


def _alone(function: Callable[[TaskT], ResultT], task: TaskT) -> ResultT:
    """Does a task in a process of its own. It has seen one die already."""
    for _ in range(1, N_TRIES):
        with _pool(1) as executor:
            future = executor.submit(function, task)
            if not isinstance(future.exception(), BrokenProcessPool):
                return future.result()
    raise _died(task, "Try again with fewer workers.")


def _on_cluster(function: Callable[[TaskT], ResultT], tasks: Sequence[TaskT], address: str) -> Iterator[tuple[TaskT, ResultT]]:
    """Does tasks on a Ray cluster. What a process or a machine that died was doing Ray itself does again."""
    try:
        import ray
        from ray.exceptions import RayError, RayTaskError
    except ImportError as error:
        raise PackageError(f"{error}. A Ray cluster needs: pip install 'sb3_mimic[cluster]'") from error
    is_ours = not ray.is_initialized()
    try:
        if is_ours:
            ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
    except (ConnectionError, ValueError, RayError) as error:
        raise WorkerError(
            f"There is no Ray cluster at {address!r}: {error}. Begin one with 'ray start --head', join it with 'ray start"
            " --address HOST:6379' on other machines, or leave --ray out."
        ) from error
    waiting = list(tasks)[::-1]
    running: dict[Any, TaskT] = {}
    try:
        remote: Any = ray.remote(num_cpus=1, max_retries=N_TRIES - 1)(_call)
        n_at_once = max(2, int(AHEAD * ray.cluster_resources().get("CPU", 1)))  # type: ignore[no-untyped-call]
        while waiting or running:
            # Not all at once: results wait in memory until they are fetched
            while waiting and len(running) < n_at_once:
                task = waiting.pop()
                running[remote.remote(function, task)] = task
            (ready, *_), _ = ray.wait(list(running))
            task = running.pop(ready)
            try:
                yield task, ray.get(ready)
            except RayTaskError as error:
                raise error.cause from error
            except RayError as error:
                raise _died(task, "Fewer of them at a time need less.") from error
    finally:
        for left in running:
            ray.cancel(left)
        if is_ours:
            ray.shutdown()


def _call(function: Callable[[TaskT], ResultT], task: TaskT) -> ResultT:
    return function(task)


def _died(task: object, advice: str) -> WorkerError:
    return WorkerError(
        f"A worker died for the {N_TRIES}rd time at {task!r}: was memory short? What was done before is kept. {advice}"
    )


def _pool(n_workers: int) -> ProcessPoolExecutor:
    # Spawned, since a fork would inherit torch's threads
    return ProcessPoolExecutor(n_workers, get_context("spawn"))
