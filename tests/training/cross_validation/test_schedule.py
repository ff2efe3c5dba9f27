"""How many folds train at once: what CPUs, GPUs and memory allow."""

from __future__ import annotations

from secondread.config.train import TrainConfig
from secondread.training.cross_validation import schedule as module
from secondread.training.cross_validation.schedule import Machine, Schedule

GIB = 1 << 30


def schedule(config: TrainConfig, folds: int, machine: Machine, *, image_size: int = 64, at_once: int = 0) -> Schedule:
    return module.schedule(config, folds, machine, image_size=image_size, at_once=at_once)


def test_two_cores_train_two_folds_with_a_thread_each_and_the_odd_one_with_both() -> None:
    plan = schedule(TrainConfig(), 5, Machine(cpus=2, gpus=0, memory=16 * GIB))
    assert plan == Schedule(2, (1, 1, 1, 1, 2), ("", ""))


def test_many_cores_are_shared_by_all_folds() -> None:
    assert schedule(TrainConfig(), 5, Machine(cpus=64, gpus=0, memory=256 * GIB)) == Schedule(5, (12,) * 5, ("",) * 5)


def test_what_the_recipe_says_of_threads_and_processes_holds_for_each_fold() -> None:
    four = Machine(cpus=4, gpus=0, memory=16 * GIB)
    assert schedule(TrainConfig(threads=2), 5, four) == Schedule(2, (2,) * 5, ("", ""))
    assert schedule(TrainConfig(strategy="ddp", processes=2), 4, four) == Schedule(2, (2,) * 4, ("", ""))


def test_memory_bounds_the_folds_and_one_always_trains() -> None:
    assert schedule(TrainConfig(), 4, Machine(cpus=8, gpus=0, memory=4 * GIB)).at_once == 4
    assert schedule(TrainConfig(), 4, Machine(cpus=8, gpus=0, memory=4 * GIB), image_size=224).at_once == 2
    assert schedule(TrainConfig(), 4, Machine(cpus=8, gpus=0, memory=GIB // 2)).at_once == 1


def test_each_fold_has_gpus_of_its_own() -> None:
    plan = schedule(TrainConfig(strategy="ddp", processes=2), 5, Machine(cpus=16, gpus=4, memory=64 * GIB))
    assert plan.devices == ("0,1", "2,3")
    on_cpu = TrainConfig(accelerator="cpu")
    assert schedule(on_cpu, 5, Machine(cpus=4, gpus=1, memory=64 * GIB)).devices == ("", "", "", "")


def test_who_asks_for_a_number_gets_it() -> None:
    plan = schedule(TrainConfig(), 5, Machine(cpus=2, gpus=1, memory=16 * GIB), at_once=3)
    assert plan.at_once == 3
    assert plan.devices == ("0", "0", "0")
