"""Where rollouts are kept: `<home>/rollouts/<name>/<number>/`, numbered from 1 for each model."""

from __future__ import annotations

from pathlib import Path

from secondread.atomic import one_at_a_time
from secondread.errors import InputError
from secondread.rollout.record.record import Plan, RolloutRecord


class Rollouts:
    """All of them.

    Args:
        home: folder of everything written at run time.
    """

    def __init__(self, home: Path) -> None:
        self._folder = Path(home).absolute() / "rollouts"

    def begin(self, plan: Plan) -> RolloutRecord:
        """Keep a new one.

        Raises:
            InputError: another one of this model has not ended.
        """
        folder = self._folder / plan.name
        folder.mkdir(parents=True, exist_ok=True)
        with one_at_a_time(folder):
            records = self.all(plan.name)
            if records and not records[-1].read().state.ended:
                last = records[-1]
                raise InputError(
                    f"rollout {last.folder.name} of '{plan.name}' has not ended (version {last.plan.candidate} beside "
                    f"{last.plan.stable}): promote it or roll it back first."
                )
            number = int(records[-1].folder.name) + 1 if records else 1
            return RolloutRecord.begin(folder / str(number), plan)

    def all(self, name: str) -> list[RolloutRecord]:
        """Those of a model, the oldest first."""
        folder = self._folder / name
        numbers = sorted(int(each.name) for each in folder.glob("*") if each.name.isdecimal())
        return [RolloutRecord(folder / str(number)) for number in numbers]

    def get(self, name: str, number: int = 0) -> RolloutRecord:
        """One of a model.

        Args:
            name: of the model.
            number: of the rollout; 0: the newest.
        Raises:
            InputError: there is none.
        """
        records = {int(each.folder.name): each for each in self.all(name)}
        if not records:
            raise InputError(f"there has been no rollout of '{name}': begin one with `secondread rollout start`.")
        if number and number not in records:
            raise InputError(f"there is no rollout {number} of '{name}': the newest is {max(records)}.")
        return records[number or max(records)]

    def running(self) -> list[RolloutRecord]:
        """The newest of each model, where it has not ended or a person asks for something."""
        names = sorted(each.name for each in self._folder.glob("*") if each.is_dir())
        newest = [records[-1] for name in names if (records := self.all(name))]
        return [each for each in newest if each.read().intent or each.word() or not each.read().state.ended]
