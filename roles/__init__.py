"""Who thinks: role definitions, prompts, the agent loop, the model port and its adapters."""
