"""Does independent tasks in several processes; what a process that died was doing is done again."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from sb3_mimic.errors import WorkerError

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")

# A task that has killed so many processes will kill the next one, too
N_TRIES = 3


def done(function: Callable[[TaskT], ResultT], tasks: Sequence[TaskT], n_workers: int = 1) -> Iterator[tuple[TaskT, ResultT]]:
    """
    Does tasks, and hands over what comes of each as soon as it is there. A process that dies is replaced, and what it did and
    all that waited is done by others.

    :param function: What to do with a task; of a module, so that processes find it
    :param tasks: What it is to be done with
    :param n_workers: Processes; with one all is done in this process
    :return: Tasks and results, in the order in which they are ready
    :raises WorkerError: When a task's process has died for the third time
    """
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
    raise WorkerError(
        f"A worker died for the {N_TRIES}rd time at {task!r}: was memory short? What was done before is kept. Try again with"
        " fewer workers."
    )


def _pool(n_workers: int) -> ProcessPoolExecutor:
    # Spawned, since a fork would inherit torch's threads
    return ProcessPoolExecutor(n_workers, get_context("spawn"))
