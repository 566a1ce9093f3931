"""What a trace tells of a model call, in the words of OpenTelemetry's semantic conventions for generative AI (as of
opentelemetry-semantic-conventions 0.66b2). Numbers and names only: nothing of what was asked or answered."""

from __future__ import annotations

from roles.models.port import Reply, Request, Usage
from state import tracing


def model_call(name: str, request: Request) -> tracing.Here:
    """The span of one call of the model `name` (``provider/model``)."""
    if not tracing.on():
        return tracing.span(name)
    provider, _, model = name.partition("/")
    about: tracing.Attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": model,
        "gen_ai.request.max_tokens": request.output_tokens,
        "gen_ai.conversation.id": request.conversation,
    }
    return tracing.span(f"chat {model}", about, "client")


def usage(used: Usage) -> tracing.Attributes:
    """All input counts as such, and what of it was cached besides."""
    return {
        "gen_ai.usage.input_tokens": used.input + used.cached + used.written,
        "gen_ai.usage.output_tokens": used.output,
        "gen_ai.usage.cache_read.input_tokens": used.cached,
        "gen_ai.usage.cache_creation.input_tokens": used.written,
    }


def answered(reply: Reply) -> tracing.Attributes:
    """How it ended."""
    stop = {"gen_ai.response.model": reply.model, "gen_ai.response.finish_reasons": [str(reply.stop)]}
    return {**usage(reply.usage), **stop}
