"""Today's cost of each endpoint, over all editors, as text."""

from __future__ import annotations

from lsp_server.commands.terminal import harmless


def costs_today(name: str = "") -> list[str]:
    """A line for each endpoint, or for the one of that name; or why that cannot be read."""
    from lsp_server.endpoints.money import MoneyError, Spending
    from lsp_server.engine.endpoint import shown_cost

    try:
        today = Spending().today()
    except MoneyError as error:
        return [str(error)]
    return [
        harmless(f"{endpoint} has cost {shown_cost(cost)} today")
        for endpoint, cost in sorted(today.items())
        if name in ("", endpoint)
    ]
