"""What is said of connections that come to nothing: the cause, and what to do."""

from __future__ import annotations

import socket
import ssl

import pytest

from lsp_server.models import connection


class ProxyError(Exception):
    """As the clients of several libraries call it."""


class ReadTimeoutError(Exception):
    pass


class ConnectError(Exception):
    pass


def unverified(why: str) -> ssl.SSLCertVerificationError:
    return ssl.SSLCertVerificationError(
        1, f"[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {why} (_ssl.c:1)"
    )


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (unverified("unable to get local issuer certificate"), "nobody who is trusted here has signed"),
        (unverified("self-signed certificate in certificate chain"), "SSL_CERT_FILE"),
        (unverified("certificate has expired"), "this machine's clock"),
        (unverified("certificate is not yet valid"), "this machine's clock"),
        (unverified("Hostname mismatch, certificate is not valid for 'hub'."), "another host's"),
        (ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate"), "SSL_CERT_FILE"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), "no TLS"),
        (ProxyError("407 Proxy Authentication Required"), "a name and a password (407)"),
        (ProxyError("Tunnel connection failed: 502"), "the proxy cannot be used"),
        (socket.gaierror(-2, "Name or service not known"), "cannot be reached"),
        (ConnectionResetError(104, "Connection reset by peer"), "cannot be reached"),
        (ConnectError("[Errno 111] Connection refused"), "cannot be reached"),
        (ReadTimeoutError("The read operation timed out"), "did not answer in time"),
        (TimeoutError("timed out"), "did not answer in time"),
    ],
)
def test_the_cause_is_named_however_deep_it_lies(error: Exception, words: str) -> None:
    assert words in connection.why(error, "hub.example")
    try:
        try:
            try:
                raise error
            except Exception as inner:
                raise RuntimeError("something failed") from inner
        except RuntimeError:
            raise ValueError("no file") from None
    except ValueError as outer:
        assert words in connection.why(outer, "hub.example")


@pytest.mark.parametrize("error", [ValueError("no"), OSError(28, "No space left on device"), KeyError("x")])
def test_what_is_no_matter_of_the_connection(error: Exception) -> None:
    assert connection.why(error, "hub.example") == ""
