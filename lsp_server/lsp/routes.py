"""Which endpoints the engine may ask: those of the settings, as far as consent and denied folders allow it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lsp_server.engine.api import LOCAL
from lsp_server.lsp.consent import Consent
from lsp_server.lsp.denied import DeniedPlaces
from lsp_server.settings.fields import Settings

if TYPE_CHECKING:
    from lsp_server.engine.api import RoutedEngine
    from lsp_server.lsp.session import Session


class Routes:
    """Tells the engine its endpoints whenever the settings, the workspace's folders, the open documents or the user's
    answers change. Used on the event loop.

    routed: called each time, with the places that may be asked again about an action, and whether next edits have a
    model.
    changed: called when the shown state of consent has changed.
    """

    def __init__(
        self,
        session: Session,
        engine: RoutedEngine,
        routed: Callable[[tuple[str, ...], bool], None],
        changed: Callable[[], None],
    ) -> None:
        self._session, self._engine = session, engine
        self._routed, self._changed = routed, changed
        self._asked_again: tuple[str, ...] = ()
        self.denied = DeniedPlaces(session, self._route)
        self.consent = Consent(session, self._consent_changed, self._chat_state)

    def follow(self, settings: Settings, asked_again: tuple[str, ...]) -> None:
        """Follows changed settings. asked_again: the names of the places that may be asked again about an action."""
        self._asked_again = asked_again
        self.denied.follow(settings.endpoints_denied)
        self._route()
        self.consent.read_decisions()

    def folders_changed(self) -> None:
        self.denied.check_folders()
        self._route()
        self.consent.read_decisions()

    def opening(self, uri: str) -> None:
        """Must be called before a document is opened."""
        self.denied.opening(uri)
        self.consent.opening(uri)

    def _route(self) -> None:
        settings = self._session.settings
        endpoints = settings.endpoints_in_use(elsewhere=not self.denied.why)
        elsewhere = {name: endpoint for name, endpoint in endpoints.items() if not endpoint.is_here}
        places, consent = settings.places(), self.consent
        consent.follow(elsewhere, [*places["completion"], *places["edit"]], places["chat"])
        by_name = [name for name in self._asked_again if name == LOCAL or name in endpoints]
        again = tuple(name for name in by_name if not consent.forbidden(name))
        order = {role: [name for name in names if consent.allowed(name)] for role, names in places.items()}
        self._engine.route(endpoints, order, again)
        edits = any(name in endpoints for name in order["edit"])
        self._routed(again, bool(edits or settings.edit_model))

    def _consent_changed(self) -> None:
        self._route()
        self._changed()

    def _chat_state(self, place: str) -> str:
        engine = self._engine.at(place)
        return engine.models["chat"].kind if engine is not None else "none"
