"""Every bound in one table. Over it, the answer is an error that names the bound (design §7)."""

from __future__ import annotations

KB = 1 << 10
MB = 1 << 20
GB = 1 << 30

DOCUMENT_BYTES = 4 * MB
"""A plan or task document."""
DOCUMENT_DEPTH = 32
"""Nesting of a document."""
DOCUMENT_NODES = 1_000_000
"""Values in a document, aliases counted as often as they are used."""
DOCUMENT_PROBLEMS = 20
"""Problems reported for one document."""
TODOS = 20_000
"""TODOs in a plan."""
NEEDS = 10_000
"""Needs of one TODO."""
KEY_CHARACTERS = 100
TITLE_CHARACTERS = 500
TEXT_CHARACTERS = 100_000
"""A goal, prompt, question or command."""
ENV_VARIABLES = 200
CHOICES = 20
LABELS = 20
KEY_BYTES = 2_000
"""Text that a database looks things up by: ids, names, placements, locations. PostgreSQL indexes no more than 2,704."""
PATHS = 1_000
"""Inputs or outputs of one TODO."""
VERIFY_ITEMS = 50
CONCURRENCY = 1_000
RETRIES = 20
DURATION_SECONDS = 30 * 24 * 3600.0
"""Any duration in a document."""

LOG_BYTES = 64 * MB
"""One attempt's log; what comes after is dropped, and the log says so."""
STDOUT_BYTES = GB
"""A command's standard output, where its task wants it as an object."""
LOG_CHUNK = 256 * KB
LOG_TAIL_LINES = 5
LOG_LINE_CHARACTERS = 500
"""Lines in `todo.log` events."""
EVIDENCE_TAIL = 4 * KB
DETAIL_CHARACTERS = 2_000
TREE_FILES = 200_000
"""Files in one directory that is an input, an output or a working directory to be verified."""
REMOTE_OBJECT_BYTES = 5 * 1024 * GB
SECRET_MINIMUM = 4
"""Characters; a shorter secret can't be redacted without redacting everything."""

LEASE_SECONDS = 9.0
"""A worker that is frozen right after a renewal has lost its work to another within ten, sweep and claim included."""
HEARTBEAT_SECONDS = 2.0
LOOP_STALL_SECONDS = 6.0
"""An event loop that has not answered for this long gets no renewal."""
PULSE_SECONDS = 0.5
"""How often sandboxes hear from their worker."""
PULSE_LIMIT_SECONDS = 3.0
"""A sandbox that has not heard from its worker for this long kills what it runs."""
SWEEP_SECONDS = 0.1
POLL_SECONDS = 1.0
OUTBOX_STALE_SECONDS = 1.0
SINK_SECONDS = 300.0
"""After so long, what a transaction has written is there for everybody to see, however long it waited for a lock."""
DEADLINE_GRACE_SECONDS = 15.0
"""Past a TODO's timeout: the sweeper ends what its owner should have ended."""
BATCH_WEIGHT = 400
"""What one transaction takes in: commands, a new TODO counting as one. Keeps the write lock under about 20 ms."""
ROOM_SECONDS = 30.0
"""A TODO that has been ready for so long, and asks for more than a worker has free, is not passed over any more."""
BUSY_SECONDS = 60.0
"""How long a database held by another program is waited for."""
PAGE = 1_000
"""Rows of one read of events or lists."""

TOOL_RESULT_BYTES = 50_000
"""What one call of an MCP tool answers with; the rest is asked for with its cursor."""
CONVERSATION_BYTES = 600_000
"""Of one request to a model; a longer conversation is shortened first."""
TOOL_TEXT_BYTES = 60_000
"""What a model is told of one call of a tool, whoever's; the middle of what is longer is left out."""
WORKSPACE_FILE_BYTES = 2 * MB
"""A file that is written, edited or searched by a tool; others are for commands."""
WORKSPACE_READ_BYTES = 64 * MB
"""How far into a file lines can be read."""
WORKSPACE_ENTRIES = 100_000
"""Files and directories that one call looks through."""
SNAPSHOT_ENTRIES = 200_000
"""Files, links and directories in an agent's working tree, when a snapshot of it is made."""
SNAPSHOT_FILE_BYTES = 64 * MB
"""One file in a snapshot; a larger one is left out and reported."""
SNAPSHOT_BYTES = 2 * GB
"""All files of a snapshot."""
SNAPSHOT_SKIPPED = 100
"""Paths that a snapshot reports as left out."""
DIFF_BYTES = 50_000
"""The text of a diff; the rest is left out, and it says so."""
DIFF_FILES = 2_000
"""Files that a diff or a conflict lists."""

PRIORITY = 1_000
"""Of a TODO, either way."""
SECRET_BYTES = 64 * KB
"""One secret; it travels in an environment variable."""
