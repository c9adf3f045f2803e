"""Access control: only programs on this machine that know the token may ask, and no page in a browser.

A page can send a POST to any port of its user's machine and, after its own name has been changed to point to that
machine (DNS rebinding), also read the answers. But it cannot leave `Origin` out of such a request, it cannot send the
server's own name as `Host` after rebinding, and it does not know the token.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lsp_server.http.request import RefusedError

Headers = Mapping[str, Sequence[str]]

# Headers that only browsers send. They send `Sec-Fetch-Site` with every request, `Origin` with most.
_BROWSERS = ("origin", "sec-fetch-site", "sec-fetch-mode", "access-control-request-method")


class AddressError(ValueError):
    """An address at which fimble does not serve. The text is one line for the user."""


@dataclass(frozen=True, slots=True)
class Address:
    """An address of this machine: a loopback address, and a port; 0 for any free port."""

    host: str
    port: int

    @classmethod
    def of(cls, text: str) -> Address:
        """`127.0.0.1:PORT`, `[::1]:PORT` or `localhost:PORT`. Raises AddressError."""
        host, _, port = text.rpartition(":")
        if not (host and port.isascii() and port.isdigit() and int(port) < 1 << 16):
            raise AddressError(f"{text!r} is not of the form 127.0.0.1:PORT")
        host = "127.0.0.1" if host.lower() == "localhost" else host
        try:
            address = ipaddress.ip_address(host[1:-1] if host.startswith("[") and host.endswith("]") else host)
        except ValueError:
            raise AddressError(f"{host!r} is no IP address; fimble serves HTTP at 127.0.0.1 or [::1] alone") from None
        if not address.is_loopback or getattr(address, "ipv4_mapped", None) is not None:
            raise AddressError(f"{host} is not an address of this machine alone; take 127.0.0.1 or [::1]")
        return cls(str(address), int(port))

    @property
    def url(self) -> str:
        return f"http://{self._written(self.host)}:{self.port}"

    def names(self) -> frozenset[str]:
        """The values of `Host` that clients may send."""
        names = {self._written(self.host), "localhost"}
        ports = {f":{self.port}", *([""] if self.port == 80 else [])}
        return frozenset(name + port for name in names for port in ports)

    @staticmethod
    def _written(host: str) -> str:
        return f"[{host}]" if ":" in host else host


class Guard:
    """Refuses requests that are not allowed. names: the allowed values of `Host`. token: the token that clients must
    send."""

    def __init__(self, names: frozenset[str], token: str) -> None:
        self._names = names
        self._token = token.encode()

    def check_place(self, headers: Headers) -> None:
        """Raises RefusedError if `Host` is not one of ours, or if the request comes from a browser, for any path."""
        hosts = headers.get("host", ())
        if len(hosts) != 1 or hosts[0].lower() not in self._names:
            raise RefusedError(403, "the header `Host` does not name this server")
        if any(name in headers for name in _BROWSERS):
            raise RefusedError(403, "requests from web pages are refused")

    def check_token(self, headers: Headers) -> None:
        """Raises RefusedError without the token, which is in `Authorization` as OpenAI's clients send it."""
        given = headers.get("authorization", ())
        scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        known = hmac.compare_digest(token.strip().encode("utf-8", "replace"), self._token)
        if scheme.lower() != "bearer" or not known:
            raise RefusedError(
                401,
                "the token is missing or wrong: send `Authorization: Bearer TOKEN`",
                (("WWW-Authenticate", "Bearer"),),
            )
