# SPDX-License-Identifier: MIT
"""The live picture of one host: one thread folds what all sources report into Snapshots.

Glossary, in the order in which a fact travels:

source
    Blocks on one file descriptor (:mod:`luo_tui.sources`); reports changes.
change
    One difference, as a source reports it (:mod:`luo_tui.sources.changes`). The
    values stand with the sources, since imports run downward only; what comes of
    them stands here, in :mod:`~luo_tui.monitor.fold`.
reading
    One look of a source at all that it tells of. It ends *complete*; *partial*, with
    what is **missing** in sentences; or *failed*, with a **fault**: its last data stand
    (:mod:`luo_tui.sources.reading`). An empty list is never an error in disguise.
doubt
    A fault or something missing, as a sentence that begins with the source's name
    (:meth:`luo_tui.model.Snapshot.doubts`).
snapshot
    Everything known at one instant (:class:`luo_tui.model.Snapshot`); frozen.
hub
    The thread that polls the sources (:mod:`~luo_tui.monitor.poller`) and folds their
    changes (:mod:`~luo_tui.monitor.hub`). An error of its own is the doubt ``monitor``.
wake
    The one message by which the hub says that there is a newer snapshot.
event
    A sentence about a change, numbered, in the event log
    (:mod:`~luo_tui.monitor.event_text`, :mod:`~luo_tui.monitor.log`); what only repeats
    itself is not told for ever (:mod:`~luo_tui.monitor.repeats`).
overrun
    More was reported than a source's buffer holds; answered by reading everything anew.
"""
