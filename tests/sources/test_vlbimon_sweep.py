# SPDX-License-Identifier: MIT
"""The order of questions of a sweep, where one of them is never answered."""

from __future__ import annotations

from tessmon.sources.vlbimon_sweep import Sweep

NOW_S = 1_712_345_690
FIELDS = [f"field_{number:03}" for number in range(200)]


def test_a_question_that_is_never_answered_keeps_no_other_waiting_and_nothing_is_called_whole() -> None:
    sweep = Sweep(lambda: (["KP"], FIELDS))
    sweep.swept_s = NOW_S
    sweep.begin(NOW_S + 3600, NOW_S + 3600, 0.0)
    answered: set[str] = set()
    for _ in range(100):
        question = sweep.question()
        if FIELDS[0] in question.fields:
            sweep.failed()
        else:
            assert sweep.answered(question, 1.0) is None
            answered.update(question.fields)
    poisoned = sweep.question()
    assert FIELDS[0] in poisoned.fields
    assert answered >= set(FIELDS) - set(poisoned.fields)
    assert len(poisoned.fields) < 30
    assert (sweep.going, sweep.swept_s) == (True, NOW_S)
    assert poisoned.end_s == NOW_S
    sweep.answered(poisoned, 2.0)
    assert sweep.question().start_s == NOW_S
