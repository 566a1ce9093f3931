"""Who listens and speaks: the Pipecat pipeline, wake word, engines, intents, progress told aloud, transports.

Modules without an import of Pipecat are pure: `intents`, `grammar`, `dialogue`, `progress`, `wording`.
"""
