"""Who listens and speaks: the Pipecat pipeline, wake word, engines, intents, progress told aloud, transports.

Modules without an import of Pipecat are pure: `intents`, `grammar`, `dialogue`, `progress`, `wording`.

ONNX Runtime, by which voices are found and models are run, tells its makers of its use from version 1.29 on, if it is
not told before it is loaded that it should not (its Privacy.md, "Disabling Telemetry"). It is told here.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
