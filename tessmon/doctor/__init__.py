# SPDX-License-Identifier: MIT
"""What ``tessmon doctor`` looks at: one module per subject, each with ``LIMIT_S`` and ``look``.

A check measures and never mends. It leaves nothing behind, needs no running service, and does one that runs no
harm: it has client ids of its own at the broker and reads only in the database.
"""

SUBJECTS = {
    "configuration": "tessmon.doctor.configuration",
    "broker": "tessmon.doctor.broker",
    "vlbimon": "tessmon.doctor.vlbimon",
    "database": "tessmon.doctor.database",
    "journal": "tessmon.doctor.journal",
    "clock": "tessmon.doctor.clock",
    "certificates": "tessmon.doctor.certificates",
    "unit": "tessmon.doctor.unit",
}
"""Subject → the module that looks at it, in the order of the report."""
