"""Runs on disk: the directory, the append-only record, the status machine and the inbox.

It must not know how a run is trained or shown: whoever writes does so through :class:`RunRecorder`, whoever
looks reads the files. One directory is one run and can be copied as it is::

    lightning_logs/version_0/        hparams.yaml, metrics.csv, checkpoints/ … as Lightning's users know it
        studio/                      our record
            run.json                 who and where: id, name, pid, host, versions (written once)
            status.json              where it stands now (replaced atomically, at most 4 times a second)
            metrics.log              blocks: series definitions and points
            events.log               blocks: events as JSON
            media.log, media/        pictures, tables and texts: their list and their files
            inbox/                   commands that wait for the next step boundary
"""

from lit_studio.base.processes import process_alive, process_start_time
from lit_studio.base.runs.directory import (
    RECORD,
    RunDirectory,
    RunInfo,
    current_run,
    find_run,
    list_runs,
    note_current,
    temporary_run_root,
)
from lit_studio.base.runs.inbox import COMMANDS, Command, Inbox, Mailbox, send_command
from lit_studio.base.runs.log import Block, BlockWriter, decode_points, encode_points, read_blocks
from lit_studio.base.runs.record import RunRecorder
from lit_studio.base.runs.status import RunStatus, read_status

__all__ = [
    "COMMANDS",
    "RECORD",
    "Block",
    "BlockWriter",
    "Command",
    "Inbox",
    "Mailbox",
    "RunDirectory",
    "RunInfo",
    "RunRecorder",
    "RunStatus",
    "current_run",
    "decode_points",
    "encode_points",
    "find_run",
    "list_runs",
    "note_current",
    "process_alive",
    "process_start_time",
    "read_blocks",
    "read_status",
    "send_command",
    "temporary_run_root",
]
