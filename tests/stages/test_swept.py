# SPDX-License-Identifier: MIT
"""Up to where history is whole stands in the notes that are committed with the rows."""

from __future__ import annotations

import json

from tessmon.decode.vlbimon import VlbimonDecoder
from tessmon.stages.swept import Sweep
from tests.vlbimon_frames import poll_frames, swept_frame


def test_last_sweep_is_noted() -> None:
    stage, decoder = Sweep(), VlbimonDecoder()
    assert stage.notes() is None
    for swept_s in (1_712_340_000, 1_712_343_600):
        record = decoder.decode(swept_frame(swept_s))
        assert list(stage.take(record)) == [record]
        assert stage.notes() == {"until": swept_s}
    [poll] = poll_frames(None)
    record = decoder.decode(poll)
    assert list(stage.take(record)) == [record]
    again = Sweep()
    again.reset(json.loads(json.dumps(stage.notes())))
    assert again.notes() == {"until": 1_712_343_600}
    again.reset()
    assert again.notes() is None
