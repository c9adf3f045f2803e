"""Explains why a connection or a request failed, in words that name the cause and what to do."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

_LOCAL = "as behind a company's proxy; set SSL_CERT_FILE to a file with the certificate of whoever signed it"


def why(error: BaseException, host: str) -> str:
    """The cause of an error that an HTTP library raised for a connection to `host`; empty if it is not about the
    connection."""
    causes = list(_chain(error))
    text = " ".join(" ".join(map(str, causes)).split())
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in causes) or "CERTIFICATE_VERIFY_FAILED" in text:
        return _of_certificate(text, host)
    if any(isinstance(each, ssl.SSLError) for each in causes) or "SSL:" in text:
        return f"{host} speaks no TLS that is understood here; check the address and the proxy (HTTPS_PROXY)"
    names = [type(each).__name__ for each in causes]
    if any("Proxy" in name for name in names):
        what = "wants a name and a password (407)" if "407" in text else "cannot be used"
        return f"the proxy {what}; check HTTPS_PROXY and HTTP_PROXY"
    if any(isinstance(each, ConnectionError | socket.gaierror) for each in causes) or any(
        "Connect" in n for n in names
    ):
        return f"{host} cannot be reached; check the network or the proxy"
    if any(isinstance(each, TimeoutError) for each in causes) or any("Timeout" in name for name in names):
        return f"{host} did not answer in time; try again, or check the network or the proxy"
    return ""


def why_refused(status: int, *, token: bool) -> str:
    """The meaning of an HTTP status, with or without the user's token; empty for other statuses."""
    if status == 401 and token:
        return "HF_TOKEN is not accepted (401): it is wrong or expired; make another on the hub's page, or unset it"
    if status == 401:
        return "the hub wants a login (401): it has no such repository, or it is private; set HF_TOKEN"
    if status == 403 and token:
        return "HF_TOKEN may not read it (403): give the token that right, or accept the agreement on the hub's page"
    if status == 403:
        return "the hub does not give it to everybody (403); set HF_TOKEN"
    if status == 407:
        return "the proxy wants a name and a password (407); check HTTPS_PROXY and HTTP_PROXY"
    if status == 429:
        return "the hub was asked too often (429); try again in some minutes" + ("" if token else ", or set HF_TOKEN")
    if status >= 500:
        return f"the hub has trouble of its own ({status}); try again later"
    return ""


def _of_certificate(text: str, host: str) -> str:
    if "expired" in text or "not yet valid" in text:
        return f"the certificate of {host} is not valid today; check this machine's clock"
    if "mismatch" in text or "doesn't match" in text or "not valid for" in text:
        return f"the certificate that came from {host} is another host's; check the address and the proxy"
    return f"nobody who is trusted here has signed the certificate of {host}, {_LOCAL}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and the errors that caused it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
