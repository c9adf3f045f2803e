"""Renders one chat template, in Jinja2's sandbox, in a process of its own: see `template.render_apart`."""

from __future__ import annotations

import json
import sys

_MOST_RENDERED = 100_000


class RenderError(Exception):
    """A template that cannot be rendered. The message says why, in one line."""


def render(template: str, messages: list[dict[str, str]], bos: str, eos: str) -> str:
    """Renders a template in the sandbox. Raises RenderError. May run for ever, so use `render_apart`."""
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def fail(message: str) -> None:
        raise TemplateError(message)

    def now(form: str) -> str:
        import datetime

        return datetime.datetime.now().astimezone().strftime(form)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals.update(raise_exception=fail, strftime_now=now)
    parts: list[str] = []
    size = 0
    try:
        # Thinking is switched off if the template supports that, because an edit should begin within seconds.
        pieces = environment.from_string(template).generate(
            messages=messages,
            add_generation_prompt=True,
            bos_token=bos,
            eos_token=eos,
            tools=None,
            documents=None,
            enable_thinking=False,
        )
        for piece in pieces:
            size += len(piece)
            if size > _MOST_RENDERED:
                raise RenderError(f"it writes more than {_MOST_RENDERED} characters")
            parts.append(piece)
    except RenderError:
        raise
    except Exception as error:  # a template may raise anything
        raise RenderError(f"{type(error).__name__}: {error}"[:300]) from None
    return "".join(parts)


def main() -> None:
    """The process that renders one template: reads JSON from stdin, writes JSON to stdout."""
    given = json.loads(sys.stdin.buffer.read())
    try:
        answer = {"text": render(given["template"], given["messages"], given["bos"], given["eos"])}
    except RenderError as error:
        answer = {"error": str(error)}
    sys.stdout.write(json.dumps(answer))
