"""The tools that the conformance suite calls, kept by our manners like every other tool. Names and texts are the
suite's."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from mcp.server.mcpserver import Context
from mcp.shared.exceptions import MCPError
from mcp.types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    AudioContent,
    EmbeddedResource,
    ImageContent,
    SamplingMessage,
    TextContent,
    TextResourceContents,
)
from pydantic import BaseModel, Field

from mcp_servers.manners import Tools
from state.errors import AtlasError

IMAGE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
AUDIO = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA="


async def test_simple_text() -> str:
    """Answer with text."""
    return "This is a simple text response for testing."


def image() -> ImageContent:
    return ImageContent(type="image", data=IMAGE, mime_type="image/png")


async def test_image_content() -> list[ImageContent]:
    """Answer with an image."""
    return [image()]


async def test_audio_content() -> list[AudioContent]:
    """Answer with sound."""
    return [AudioContent(type="audio", data=AUDIO, mime_type="audio/wav")]


def embedded(uri: str, mime_type: str, text: str) -> EmbeddedResource:
    contents = TextResourceContents(uri=uri, mime_type=mime_type, text=text)
    return EmbeddedResource(type="resource", resource=contents)


async def test_embedded_resource() -> list[EmbeddedResource]:
    """Answer with a resource."""
    return [embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")]


async def test_multiple_content_types() -> list[TextContent | ImageContent | EmbeddedResource]:
    """Answer with text, an image and a resource."""
    resource = embedded("test://mixed-content-resource", "application/json", '{"test": "data", "value": 123}')
    return [TextContent(type="text", text="Multiple content types test:"), image(), resource]


async def test_tool_with_logging(context: Context[Any, Any]) -> str:
    """Log three messages."""
    for message in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await context.info(message)  # pyright: ignore[reportDeprecated]  what a client of 2025 is promised
        await asyncio.sleep(0.05)
    return "Tool with logging executed successfully"


async def test_tool_with_progress(context: Context[Any, Any]) -> str:
    """Report progress three times."""
    for done in (0, 50, 100):
        await context.report_progress(done, 100, f"Completed step {done} of 100")
        await asyncio.sleep(0.05)
    return "done"


async def test_error_handling() -> str:
    """Fail."""
    raise AtlasError("This tool intentionally returns an error for testing")


async def test_sampling(prompt: str, context: Context[Any, Any]) -> str:
    """Ask the client's model."""
    message = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
    result = await context.session.create_message(  # pyright: ignore[reportDeprecated]
        messages=[message], max_tokens=100, related_request_id=context.request_id
    )
    return f"LLM response: {result.content.text if result.content.type == 'text' else ''}"


class Answer(BaseModel):
    """What the user is asked for."""

    username: str
    email: str


class Defaults(BaseModel):
    """A default of every primitive type."""

    name: str = "John Doe"
    age: int = 30
    score: float = 95.5
    status: str = Field("active", json_schema_extra={"enum": ["active", "inactive", "pending"]})
    verified: bool = True


def titled(**titles: str) -> list[Any]:
    return [{"const": value, "title": title} for value, title in titles.items()]


class Enums(BaseModel):
    """Every way to choose from a list."""

    untitledSingle: str = Field(json_schema_extra={"enum": ["option1", "option2", "option3"]})
    titledSingle: str = Field(json_schema_extra={"oneOf": titled(value1="First", value2="Second")})
    untitledMulti: list[str] = Field(
        json_schema_extra={"items": {"type": "string", "enum": ["option1", "option2", "option3"]}}
    )
    titledMulti: list[str] = Field(json_schema_extra={"items": {"anyOf": titled(value1="First", value2="Second")}})
    legacyEnum: str = Field(json_schema_extra={"enum": ["opt1", "opt2"], "enumNames": ["Option One", "Option Two"]})


async def _asked(context: Context[Any, Any], message: str, schema: type[BaseModel]) -> str:
    result = await context.elicit(message, schema)
    content = result.data.model_dump_json() if result.action == "accept" else "{}"
    return f"action={result.action}, content={content}"


async def test_elicitation(message: str, context: Context[Any, Any]) -> str:
    """Ask the user."""
    return f"User response: {await _asked(context, message, Answer)}"


async def test_elicitation_sep1034_defaults(context: Context[Any, Any]) -> str:
    """Ask the user, with defaults."""
    return f"Elicitation completed: {await _asked(context, 'Who are you?', Defaults)}"


async def test_elicitation_sep1330_enums(context: Context[Any, Any]) -> str:
    """Ask the user to choose."""
    return f"Elicitation completed: {await _asked(context, 'Which ones?', Enums)}"


async def test_x_mcp_header(
    region: Annotated[str, Field(description="A region.", json_schema_extra={"x-mcp-header": "Region"})] = "none",  # noqa: PT028  no test
) -> str:
    """Take an argument that travels in a header, too."""
    return f"region={region}"


async def test_missing_capability(context: Context[Any, Any]) -> str:
    """Need a client that can sample."""
    capabilities = context.session.client_capabilities
    if capabilities is None or capabilities.sampling is None:
        needed: dict[str, Any] = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, "the client can't sample", needed)
    return "The client can sample."


async def test_reconnection(context: Context[Any, Any]) -> str:
    """Close the stream in the midst of a call."""
    await context.close_sse_stream()
    await asyncio.sleep(0.2)
    return "Reconnection test completed"


async def json_schema_2020_12_tool() -> str:
    """Have a schema with every keyword of JSON Schema 2020-12."""
    return "json_schema_2020_12_tool"


SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


def register(tools: Tools) -> None:
    """Offer them."""
    for body in (
        test_simple_text, test_image_content, test_audio_content, test_embedded_resource, test_multiple_content_types,
        test_tool_with_logging, test_tool_with_progress, test_error_handling, test_sampling, test_elicitation,
        test_elicitation_sep1034_defaults, test_elicitation_sep1330_enums, test_x_mcp_header, test_missing_capability,
        test_reconnection, json_schema_2020_12_tool,
    ):  # fmt: skip
        tools.add(body, "reads", body.__name__)
    tools.tools[-1].parameters = SCHEMA
