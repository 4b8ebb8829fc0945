"""A year of lots: when they ran, what the machine said of each part, and what people said."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.db import transaction

from inspection.models import (
    Batch,
    Disposition,
    Escape,
    ImageResult,
    Inspection,
    InspectionImage,
    Lot,
    Purpose,
    Review,
    ReviewState,
    Station,
    Unit,
    Verdict,
)

from .plant import FAIL, REASONS, REVIEW, Line, Plant
from .writer import Table, key, moment

LOT = 500
OPEN_HOURS = range(6, 22)  # of weekdays
JUDGED_WITHIN = timedelta(hours=20)
AUDIT_RATE = 0.02
DEFECT_STATES = (
    ReviewState.CONFIRMED,
    ReviewState.REPAIRED,
    ReviewState.CLOSED,
    ReviewState.ACCEPTED,
)
DEFECT_SHARES = (0.5, 0.3, 0.12, 0.08)
RETESTED = 0.02
WRITE_EVERY = 40  # lots


@dataclass(frozen=True)
class Slot:
    """A lot's place in the schedule of a station."""

    station: Station
    begin: datetime
    end: datetime
    size: int


def schedule(plant: Plant, begin: datetime, end: datetime, total: int) -> Iterator[Slot]:
    """Lots of `LOT` parts, side by side at every station, in the order of time."""
    hours = [
        begin + timedelta(hours=n)
        for n in range(int((end - begin).total_seconds() // 3600))
        if (begin + timedelta(hours=n)).weekday() < 5
        and (begin + timedelta(hours=n)).hour in OPEN_HOURS
    ] or [begin]
    lots = max(1, -(-total // LOT))
    per_station = -(-lots // len(plant.stations))
    left = total
    for number in range(per_station):
        first = hours[number * len(hours) // per_station]
        last = hours[min(len(hours), (number + 1) * len(hours) // per_station) - 1]
        for station in plant.stations:
            if left > 0:
                yield Slot(station, first, last + timedelta(hours=1), min(LOT, left))
                left -= LOT


class History:
    """Writes lot after lot. `now`: what lies after it was not judged by anybody yet."""

    def __init__(self, plant: Plant, now: datetime, seed: int) -> None:
        self.plant, self.now = plant, now
        self.chance, self._keys = np.random.default_rng(seed), random.Random(seed)  # noqa: S311
        models = (Lot, Batch, Unit, Inspection, InspectionImage, ImageResult, Review, Escape)
        self.tables = {model: Table(model) for model in models}
        self._lots = 0

    def run(self, slots: Iterator[Slot]) -> Iterator[int]:
        """Yields how many inspections are written, now and then."""
        for slot in slots:
            self._write_lot(slot)
            self._lots += 1
            if self._lots % WRITE_EVERY == 0:
                self.flush()
                yield self.tables[Inspection].written
        self.flush()
        yield self.tables[Inspection].written

    @transaction.atomic
    def flush(self) -> None:
        """In one transaction each: a database keeps every row's foreign keys in mind until
        they are checked at its end."""
        for table in self.tables.values():
            table.write()

    def _key(self, when: float) -> str:
        return key(when, self._keys.getrandbits(74))

    def _write_lot(self, slot: Slot) -> None:
        line = self.plant.lines[int(self.chance.integers(len(self.plant.lines)))]
        version, point = line.judged_by(slot.begin)
        start = slot.begin.timestamp()
        lot, batch = self._key(start), self._key(start)
        code, order = f"L{self._lots + 10001}", f"WO-{self._lots // 4 + 40001}"
        self.tables[Lot].add(
            id=lot,
            created_at=moment(start),
            product_id=line.product.pk.hex,
            code=code,
            work_order=order,
        )
        self.tables[Batch].add(
            id=batch,
            created_at=moment(start),
            viewpoint_id=line.viewpoint.pk.hex,
            number=line.next_batch,
            name=code,
            purpose=Purpose.PRODUCTION,
            lot_id=lot,
            station_id=slot.station.pk.hex,
            model_version_id=version.pk.hex,
            operating_point_id=point.pk.hex,
            sealed_at=moment(slot.end.timestamp()),
            completed_at=moment(slot.end.timestamp()),
        )
        line.next_batch += 1
        common = {
            "viewpoint_id": line.viewpoint.pk.hex,
            "batch_id": batch,
            "lot_id": lot,
            "station_id": slot.station.pk.hex,
            "work_order": order,
            "model_version_id": version.pk.hex,
            "operating_point_id": point.pk.hex,
            "purpose": Purpose.PRODUCTION,
        }
        self._write_parts(line, slot, common)

    def _write_parts(self, line: Line, slot: Slot, common: dict[str, Any]) -> None:
        n, chance = slot.size, self.chance
        start, length = slot.begin.timestamp(), (slot.end - slot.begin).total_seconds()
        times = start + np.sort(chance.random(n)) * length
        bad = chance.random(n) < line.defect_share * chance.lognormal(0, 0.45)
        usual = 0.3 + chance.normal(0, 0.006) + self._drift(line, slot)
        scores = np.where(bad, chance.normal(0.86, 0.14, n), chance.normal(usual, 0.08, n))
        draws = chance.random((n, 4))
        for i in range(n):
            if times[i] > self.now.timestamp():
                continue
            part = Part(self, line, common, float(times[i]), bool(bad[i]), float(scores[i]))
            part.write(draws[i])

    def _drift(self, line: Line, slot: Slot) -> float:
        """The first product's light fades at the first station in the last weeks."""
        if line is not self.plant.lines[0] or slot.station is not self.plant.stations[0]:
            return 0.0
        days = (slot.begin - (self.now - timedelta(days=35))).days
        return max(0, days) * 0.0012


class Part:
    """One unit with its inspection, and perhaps a review, an audit, a retest, an escape."""

    def __init__(
        self,
        history: History,
        line: Line,
        common: dict[str, Any],
        when: float,
        bad: bool,
        score: float,
    ) -> None:
        self.history, self.line, self.common = history, line, common
        self.when, self.bad, self.score = when, bad, max(0.01, score)
        self.verdict = Verdict.FAILED if score > FAIL else Verdict.PASSED
        doubtful = REVIEW < score <= FAIL
        self.disposition = Disposition.NEEDS_REVIEW if doubtful else Disposition.AUTO
        self.called = doubtful or self.verdict == Verdict.FAILED
        self.unit = history._key(when)
        self.serial = f"{line.product.code[:3]}{int(when * 1000) % 10**10:010d}"

    def write(self, draw: Any) -> None:
        tables = self.history.tables
        tables[Unit].add(
            id=self.unit,
            created_at=moment(self.when),
            product_id=self.line.product.pk.hex,
            lot_id=self.common["lot_id"],
            serial_number=f"{self.serial}{self.unit[-3:]}",
            position_number=0,
        )
        audited = not self.called and draw[0] < AUDIT_RATE
        said = self._said(audited, draw[1]) if self.called or audited else None
        inspection = self._inspect(self.when, said, AUDIT_RATE if audited else None, record=True)
        if said:
            self._review(inspection, said)
        if self.called and draw[2] < RETESTED:
            self._inspect(self.when + 600, None, None, record=False)
        if self.bad and not self.called and not audited and draw[3] < 0.3:
            self._escape(draw[2])

    def _said(self, audited: bool, draw: float) -> dict[str, Any] | None:
        """What a person said of it; None while it waits."""
        age = self.history.now.timestamp() - self.when
        if age < JUDGED_WITHIN.total_seconds() and draw < 0.6:
            return None
        chance = self.history.chance
        at = min(self.when + chance.exponential(4 * 3600), self.history.now.timestamp())
        who = self.history.plant.people[int(chance.integers(len(self.history.plant.people)))]
        if not self.bad:
            state, reason = str(ReviewState.REJECTED), None
        else:
            state = str(chance.choice(DEFECT_STATES, p=DEFECT_SHARES))
            shares = [share for _, _, share in REASONS]
            reason = self.line.reasons[int(chance.choice(len(shares), p=shares))].pk.hex
        return {"state": state, "reason": reason, "by": who.pk.hex, "at": moment(at), "stamp": at}

    def _inspect(
        self, when: float, said: dict[str, Any] | None, audit_rate: float | None, *, record: bool
    ) -> str:
        tables, made = self.history.tables, self.history._key(when)
        cell = self._cell()
        p_value = round(max(1 / 401, min(1.0, 1.2 - self.score * 2)), 4)
        verdict: dict[str, Any] = {
            "verdict": str(self.verdict),
            "disposition": str(self.disposition),
            "score": round(self.score, 5),
            "p_value": p_value,
        }
        tables[Inspection].add(
            id=made,
            created_at=moment(when - 3),
            captured_at=moment(when - 5),
            completed_at=moment(when),
            unit_id=self.unit,
            is_record=int(record),
            cell=cell,
            audit_rate=audit_rate,
            review_state=said["state"] if said else str(ReviewState.NOT_VERIFIED),
            review_reason_id=said["reason"] if said else None,
            reviewed_by_id=said["by"] if said else None,
            reviewed_at=said["at"] if said else None,
            **self.common,
            **verdict,
        )
        picture = self.history._key(when)
        which = self.line.pictures[int(self.score * 1e5) % len(self.line.pictures)]
        tables[InspectionImage].add(
            id=picture,
            created_at=moment(when - 3),
            inspection_id=made,
            image_id=which.pk.hex,
            index=0,
            file_name=f"{self.serial}.png",
        )
        tables[ImageResult].add(
            id=self.history._key(when),
            created_at=moment(when),
            inspection_id=made,
            picture_id=picture,
            model_version_id=self.common["model_version_id"],
            operating_point_id=self.common["operating_point_id"],
            regions=json.dumps(self._regions(cell)),
            infer_ms=180,
            queue_ms=40,
            **verdict,
            **self.line.layers,
        )
        return made

    def _cell(self) -> int | None:
        """Defects gather in a few places, false calls in others."""
        if not self.called and not self.bad:
            return None
        chance = self.history.chance
        if chance.random() < 0.3:
            return int(chance.integers(64))
        spots = self.line.spots if self.bad else self.line.false_spots
        return spots[int(chance.integers(len(spots)))]

    def _regions(self, cell: int | None) -> list[dict[str, float]]:
        if cell is None:
            return []
        x, y = cell % 8 / 8, cell // 8 / 8
        peak = round(self.score, 4)
        return [{"x": x, "y": y, "width": 0.12, "height": 0.12, "area": 0.01, "peak": peak}]

    def _review(self, inspection: str, said: dict[str, Any]) -> None:
        self.history.tables[Review].add(
            id=self.history._key(said["stamp"]),
            created_at=said["at"],
            inspection_id=inspection,
            state=said["state"],
            reason_code_id=said["reason"],
            author_id=said["by"],
        )

    def _escape(self, draw: float) -> None:
        found = self.when + (3 + draw * 30) * 86400
        if found > self.history.now.timestamp():
            return
        self.history.tables[Escape].add(
            id=self.history._key(found),
            created_at=moment(found),
            unit_id=self.unit,
            viewpoint_id=self.line.viewpoint.pk.hex,
            reason_code_id=self.line.reasons[0].pk.hex,
            found_at=moment(found),
            found_where="Final test",
            reported_by_id=self.history.plant.people[0].pk.hex,
        )
