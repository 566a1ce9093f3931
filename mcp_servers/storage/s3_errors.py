"""What S3 and boto3 refuse, in the words of `RemoteError`."""

from __future__ import annotations

from typing import Any, cast

from mcp_servers.storage import failures
from state.errors import AtlasError, InputError, RemoteForbidden, RemoteUnavailable

_RETRIED = frozenset(("RequestTimeout", "SlowDown", "Throttling", "ThrottlingException", "InternalError", "503", "500"))
_EXPIRED = frozenset(("ExpiredToken", "InvalidToken", "RequestExpired", "AuthorizationHeaderMalformed"))
_CREDENTIALS = (
    "Check the access key, its secret and its permissions (AWS_ACCESS_KEY_ID, AWS_PROFILE, the bucket policy)."
)
_KEYS = frozenset(
    ("InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed", "TokenRefreshRequired", "NotSignedUp")
)
"""Codes that speak of whoever asks, not of what is asked for."""


def worth_retrying(error: Exception) -> bool:
    """Whether the same request may succeed a moment later."""
    from botocore import exceptions as boto

    if isinstance(error, boto.ClientError):
        status, code = answer_of(error)
        return status >= 500 or status == 429 or code in _RETRIED
    transient = (boto.ConnectionError, boto.HTTPClientError, boto.IncompleteReadError, boto.ResponseStreamingError)
    return isinstance(error, (*transient, ConnectionError))


def from_boto(url: str, doing: str, error: Exception, endpoint: str) -> AtlasError:
    """The `AtlasError` for what boto3 raised while `doing` something with `url`. `endpoint`: the setting that names the
    server."""
    from botocore import exceptions as boto

    if isinstance(error, AtlasError):
        return error
    if isinstance(error, boto.ClientError):
        return _from_answer(url, doing, error, endpoint)
    # Some of boto3's own are OSErrors too: its timeouts.
    if isinstance(error, OSError) and not isinstance(error, (ConnectionError, boto.BotoCoreError)):
        return failures.from_os(url, doing, error)
    missing_keys = (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError)
    if isinstance(error, missing_keys):
        return RemoteForbidden(f"{doing} {url}: no usable S3 credentials ({error})", _CREDENTIALS)
    if isinstance(error, boto.ParamValidationError):
        return InputError(f"{doing} {url}: {error}", "Correct the URL.")
    return RemoteUnavailable(f"{doing} {url}: {error}", _connection(endpoint))


def answer_of(error: Any) -> tuple[int, str]:  # noqa: ANN401  (botocore ships no types for a response)
    """The HTTP status and the code of an answer that is an error."""
    response = cast("dict[str, dict[str, Any]]", error.response)
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return int(status), str(response.get("Error", {}).get("Code", ""))


def about_credentials(refusal: RemoteForbidden) -> bool:
    """Whether there are no usable credentials at all, be it here or in the server's eyes."""
    from botocore.exceptions import ClientError

    error = refusal.__cause__
    return not isinstance(error, ClientError) or answer_of(error)[1] in _KEYS | _EXPIRED


def _connection(endpoint: str) -> str:
    return f"Check the endpoint ({endpoint}), the network and the region, then try again."


def _from_answer(url: str, doing: str, error: Exception, endpoint: str) -> AtlasError:
    status, code = answer_of(error)
    if status == 412:
        return failures.changed(url)
    if code == "NoSuchBucket":
        missing = failures.missing(url)
        missing.hint = "There is no such bucket: check its name and the endpoint, or create it."
        return missing
    if status == 404:
        return failures.missing(url)
    if status in (401, 403) or code in _EXPIRED:
        return RemoteForbidden(f"{doing} {url}: refused ({code or status})", _CREDENTIALS)
    if code in ("InvalidBucketName", "KeyTooLongError"):
        return InputError(f"{doing} {url}: {error}", "Correct the URL.")
    if status in (301, 307):
        return RemoteForbidden(f"{doing} {url}: the bucket is in another region", "Set AWS_REGION to the bucket's.")
    return RemoteUnavailable(f"{doing} {url}: {error}", _connection(endpoint))
