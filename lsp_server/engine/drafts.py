"""The drafts of one request: chooses the draft to verify next, drives the draft model, and learns from the results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lsp_server.core.stopping import find_end
from lsp_server.core.text import encode
from lsp_server.engine.draft_model import ModelDrafts
from lsp_server.engine.model import LoadedModel, step_ms
from lsp_server.engine.request import Generate
from lsp_server.engine.speculate import EXPECTED, MODEL, UNMEASURED_DRAFT, Draft, Drafter, ExpectedText, draft_length
from lsp_server.engine.work import Work

if TYPE_CHECKING:
    from lsp_server.backends.base import Logits


class Drafts:
    """Chooses the drafts for a request on `model`: looked up, from the expected text, or from the draft model. It holds
    a sequence of the draft model's cache, if there is one, until `release`. The request's tokens are passed in each
    time."""

    def __init__(self, request: Generate, model: LoadedModel) -> None:
        self._request = request
        self._model = model
        self._lookup: Drafter | None = None
        self._drafting = ModelDrafts(model.draft) if model.draft is not None else None
        self._expected = ExpectedText(model.backend.tokenize(encode(request.draft))) if request.draft else None
        self._draft: Draft | None = None  # the draft after the last token
        self._watched: Draft | None = None  # not verified, only compared with the decoded tokens
        self._followed_ms = 0.0  # time that the draft model took to catch up since the last token

    def release(self) -> None:
        """Gives the draft model's sequence back. Its tokens stay in the cache."""
        if self._drafting is not None:
            self._drafting.release()

    # What is drafted ------------------------------------------------------------------------------------

    def next(self, tokens: Sequence[int], end: int, room: int, decoded: int, sequence: int | None) -> Draft:
        """The draft to verify after the last token, if that pays: looked up or from the draft model, by expected gain.
        end: the position after the last token. room: how many tokens the batch can still hold. decoded: how many tokens
        the request has decoded."""
        if self._draft is not None:
            return self._draft
        model, info = self._model, self._model.backend.info
        room = min(room, self._request.max_tokens - decoded - 1)
        if info.recurrent or room <= 0 or (decoded == 0 and self._request.rank > 0):
            return Draft()
        if self._expected is not None and (draft := self._expected_draft(self._expected, end, room)).tokens:
            self._draft = draft
            return draft
        if info.costs is None:
            return Draft()
        if self._lookup is None:
            self._lookup = Drafter(model.cache.texts(sequence))
        match, found = self._lookup.propose(tokens)
        draft = Draft()
        if found:
            size, gain = draft_length(info.costs, end, model.rates[match], min(room, len(found)))
            draft = Draft(match, size, gain, found[:size])
            if not size and self._watched is None:
                self._watched = Draft(match, tokens=found[:room])
        # The first token is shown before anything is drafted. A draft model that is far behind delays the next token by
        # one token's time at most, and catches up later.
        if decoded > 0 and self._followed_ms < info.costs.ms(1, end):
            size, gain = self._model_draft(end, room)
            if gain > draft.gain and self._drafting is not None and self._drafting.can_follow(tokens):
                draft = Draft(MODEL, size, gain)
            elif not size:
                model.rates.turned_down()
        self._draft = draft
        return draft

    def _expected_draft(self, expected: ExpectedText, end: int, room: int) -> Draft:
        """The next tokens of the expected text."""
        tokens, costs = expected.next(room), self._model.backend.info.costs
        if costs is None:
            return Draft(EXPECTED, tokens=tokens[:UNMEASURED_DRAFT])
        size, gain = draft_length(costs, end, self._model.rates[EXPECTED], len(tokens))
        return Draft(EXPECTED, size, gain, tokens[:size])

    def _model_draft(self, depth: int, room: int) -> tuple[int, float]:
        """How many tokens the draft model should draft, and by which factor that makes decoding faster."""
        costs = self._model.backend.info.costs
        if costs is None or self._drafting is None or self._drafting.model.failure:
            return 0, 1.0
        return draft_length(costs, depth, self._model.rates[MODEL], room, self._drafting.model.costs.ms(1, depth))

    # The draft model ------------------------------------------------------------------------------------

    def is_behind(self, tokens: Sequence[int]) -> bool:
        """For a request that only evaluates its prompt: whether the draft model still has to evaluate it too."""
        if self._drafting is None or self._request.max_tokens > 0 or not self._drafting.behind(tokens):
            return False
        return self._model_draft(len(tokens), self._model.backend.info.chunk_tokens)[0] > 0

    def follow(self, tokens: Sequence[int]) -> Work | None:
        """The next step of the draft model to evaluate `tokens`; None if there is none."""
        assert self._drafting is not None
        return self._drafting.prepare(tokens, step_ms(self._request.priority), draft=False)

    def extend(self, tokens: Sequence[int], draft: Draft) -> Work | None:
        """The next step of the draft model to add a token to `draft`; None if the draft is complete."""
        if draft.match != MODEL or len(draft.tokens) >= draft.size:
            return None
        assert self._drafting is not None
        work = self._drafting.prepare([*tokens, *draft.tokens], step_ms(self._request.priority), draft=True)
        if work is None:
            draft.size = len(draft.tokens)
        return work

    def take(self, work: Work, rows: list[Logits], text: str) -> None:
        """Records that the draft model has evaluated `work`. text: the request's text so far."""
        assert self._drafting is not None
        token = self._drafting.take(work, rows)
        draft = self._draft
        if token is None:
            self._draft = None
            self._followed_ms += self._drafting.model.costs.ms(len(work.tokens), work.position)
        elif draft is not None:
            over = self._model.ends(token, answers=self._request.stop is None)
            if not over:
                draft.tokens.append(token)
            if over or self._ends_with(text, draft.tokens):
                draft.size = len(draft.tokens)
            if over and not draft.tokens:
                self._watched = Draft(MODEL, tokens=[token])  # the model's next token will tell

    def _ends_with(self, text: str, tokens: list[int]) -> bool:
        """Whether the stop rule ends `text` once these tokens are added."""
        if self._request.stop is None:
            return False
        added = b"".join(map(self._model.vocabulary.piece, tokens)).decode("utf-8", "ignore")
        return find_end(text + added, self._request.stop) is not None

    # What becomes of a draft ----------------------------------------------------------------------------

    def interrupted(self) -> None:
        """Notes that the step was interrupted: the next one has another draft."""
        self._draft = None

    def evaluated(self, work: Work) -> None:
        """Notes that the model has evaluated `work`: another token follows, with another draft."""
        self._draft, self._followed_ms = None, 0.0
        if work.draft:
            self._watched = None  # the rates are learned from this draft instead

    def written(self, token: int) -> None:
        """Notes the next decoded token. Learns at no cost from a draft that was not verified: compares it with the
        token."""
        if (watched := self._watched) is not None:
            held = watched.tokens[watched.size] == token
            watched.size += held
            if not held or watched.size == len(watched.tokens):
                self._model.rates.learn(watched.match, len(watched.tokens), watched.size)
                self._watched = None
        if self._expected is not None:
            self._expected.write(token)
