"""How many wrong closures are accepted, and how they are watched."""

from __future__ import annotations

from dataclasses import dataclass

from secondread.config.require import require


@dataclass(frozen=True)
class RiskDialConfig:
    """The dial, and the audit of what was closed."""

    # Share of all studies that may be closed wrongly, in (0, 1): 10 in 1,000. It needs at least 99 patients to
    # calibrate on, and a tenth of it needs 999.
    accepted: float = 0.01
    # Further positions of the dial that are shown, rising; three a decade, which a drawing can tell apart.
    shown: tuple[float, ...] = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
    audit_share: float = 0.05  # share of the closed studies that a physician reads again, in (0, 1]; one in twenty
    audit_factor: float = 2.0  # times the promised rate that the audit must see; a doubling is worth an alarm
    audit_power: float = 0.95  # chance that it sees it; as sure as the intervals are
    audit_false_alarm: float = 0.05  # chance of an alarm while the promise is kept; the custom of the field

    def __post_init__(self) -> None:
        for name, share in (("accepted", self.accepted), *(("shown", share) for share in self.shown)):
            require(0 < share < 1, f"{name} must hold shares between 0 and 1, not {share}.")
        rising = all(first < second for first, second in zip(self.shown, self.shown[1:], strict=False))
        require(rising, f"shown must rise, not {self.shown}.")
        require(0 < self.audit_share <= 1, f"audit_share must be above 0 and at most 1, not {self.audit_share}.")
        require(self.audit_factor > 1, f"audit_factor must be above 1, not {self.audit_factor}.")
        require(0.5 <= self.audit_power < 1, f"audit_power must be in [0.5, 1), not {self.audit_power}.")
        require(
            0 < self.audit_false_alarm <= 0.5, f"audit_false_alarm must be in (0, 0.5], not {self.audit_false_alarm}."
        )
