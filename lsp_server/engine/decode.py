"""One request while it is being worked on: computed tokens catching up with the tokens that are wanted.

There is no prefill phase and no decode phase (an idea of vLLM's v1 engine): a prompt's tokens are wanted at
once, and each decoded token is one more that is wanted.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lsp_server.core.stopping import find_end
from lsp_server.core.text import encode
from lsp_server.engine.allowed_tokens import best, least
from lsp_server.engine.cost import Cost
from lsp_server.engine.draft_model import ModelDrafts
from lsp_server.engine.encode import Encoded
from lsp_server.engine.healing import MOST_HEALED_TOKENS, Healing, heal
from lsp_server.engine.model import LoadedModel, step_ms
from lsp_server.engine.prefix_cache import common_prefix
from lsp_server.engine.request import Finished, FinishReason, Generate, PromptRead, TextDelta, Working
from lsp_server.engine.speculate import EXPECTED, MODEL, UNMEASURED_DRAFT, Draft, Drafter, ExpectedText, draft_length
from lsp_server.engine.vocabulary import logprob_of
from lsp_server.engine.work import Work

if TYPE_CHECKING:
    from lsp_server.backends.base import Logits

# The text that came of a step, or how much of the prompt is done; and why the request is done, if it is.
Step = tuple[TextDelta | PromptRead | None, FinishReason | None]

# A full prompt that takes longer than this is answered from a quick one, if there is one.
QUICK_ABOVE_SECONDS = 0.9


class Generation:
    """A request's tokens, text and cost. It has a sequence of the cache from `place` until `release`.

    Healing: the last tokens of what was typed are only proposed. Where the model would rather write one
    longer token over all that follows, it does, as far as its bytes agree with what stands there. The
    logits that decide it are kept with the sequence, so that they cost no evaluation at the next key.
    """

    def __init__(
        self,
        request: Generate,
        encoded: Encoded,
        model: LoadedModel,
        now: float,
        quick: Encoded | None = None,
    ) -> None:
        self.request = request
        self.text = request.written
        self.sequence: int | None = None
        self.prompt = request.prompt
        self._cost = Cost(now)
        self._read(encoded)
        self._quick = quick
        self.model = model
        self._delta_logprob = 0.0
        self._healing: Healing | None = None
        self._complete = False
        self._draft_work: Work | None = None
        self._rows: list[Logits] = []
        self._drafter: Drafter | None = None
        self._drafts = ModelDrafts(model.draft) if model.draft is not None else None
        self._expected = ExpectedText(model.backend.tokenize(encode(request.draft))) if request.draft else None
        self._draft: Draft | None = None  # what is drafted behind the last token
        self._watched: Draft | None = None  # one that is not verified, but compared with what is written, `size` so far
        self._followed_ms = 0.0  # what the draft model has spent on catching up since the last token
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def _read(self, encoded: Encoded) -> None:
        self._tokens = list(encoded.tokens)
        self._heal_from = len(encoded.tokens) - min(MOST_HEALED_TOKENS, encoded.typed)
        self._cost.prompt, self._cost.cut, self._cost.evaluated = len(encoded.tokens), encoded.cut, 0
        self._stable = encoded.stable

    def choose_prompt(self, like: Generation | None = None) -> None:
        """Goes over to the quick prompt where what is left of the full one takes too long to evaluate.

        Also in the midst of it: a machine that has become slow shows in the steps. Nothing that was evaluated is lost.
        like: another candidate for the place, which has chosen for all.
        """
        quick = self._quick
        if quick is None or self._cost.decoded > 0 or self.request.quick is None:
            return
        left = self.model.seconds_left(self._tokens) if like is None else 0.0
        too_long = left > QUICK_ABOVE_SECONDS and self.model.seconds_left(quick.tokens) < left / 2
        if too_long or (like is not None and like.prompt == self.request.quick):
            self.release()
            self._quick = None
            self.prompt = self.request.quick
            self._cost.quick = True
            self._read(quick)

    def working(self) -> Working:
        """What is done for it in its next step, for the user to know."""
        return self._cost.working(self.request, self.model.backend.length(self.sequence or 0))

    def interrupted(self) -> None:
        """Takes note that its step has been interrupted: what it was to evaluate is still to be."""
        self._complete = False
        self._draft, self._draft_work = None, None

    def already_done(self) -> bool:
        """Whether there is nothing to do: the prompt alone is wanted, and all of it is in the cache."""
        if self.request.max_tokens > 0 or self.model.cache.match(self._tokens)[1] < len(self._tokens):
            return False
        if self._drafts_lag():
            return False
        self._cost.reused = len(self._tokens)
        return True

    def place(self, now: float) -> bool:
        """Takes a sequence of the cache; False if all are busy."""
        self.sequence = self.model.take_sequence(self._tokens)
        if self.sequence is None:
            return False
        if self._cost.started is None:
            self._cost.started = now
        return True

    def release(self) -> None:
        """Gives the sequence back; what it holds stays resident."""
        if self.sequence is not None:
            # Another candidate's text is seldom gone on with.
            self.model.cache.release(self.sequence, worthless=self.request.rank > 0)
            self.sequence = None
        if self._drafts is not None:
            self._drafts.release()

    def prepare(self, *, alone: bool = True, keys_come: bool = False) -> Work | None:
        """What must be evaluated next, by the model or by the one that drafts for it; None if a token can be written
        at once. alone: whether it is evaluated by itself, so that a draft may be verified with it. keys_come: whether
        the user types.

        Cuts the sequence back to what it shares with the request's tokens.
        """
        assert self.sequence is not None
        wanted, sequence, model = self.request.max_tokens > 0, self.sequence, self.model
        if wanted and self._cost.decoded == 0:
            # A healed token needs nothing that was typed in its place, so that is evaluated only if need be.
            self._healing = heal(model, sequence, self._tokens, self._heal_from, self.request)
            if self._healing is not None:
                self._complete = True
                return None
        first_row = (self._heal_from if self._cost.decoded == 0 else len(self._tokens)) - 1
        held = model.cache.tokens(sequence)
        position = common_prefix(held, self._tokens)
        if wanted:
            missing = (i for i in range(max(0, first_row), position) if model.cache.row(sequence, i) is None)
            position = next(missing, position)
        if position == len(self._tokens):
            row = model.cache.row(sequence, position - 1)
            self._rows = [row] if row is not None else []
            work = self._follow() if self._drafts_lag() else None
            self._complete = work is None
            return work
        if len(held) > position:
            # What is left is asked of the backend, not assumed: a recurrent model goes back further.
            position = model.backend.truncate(sequence, position)
            model.cache.truncate(sequence, position)
        size = model.chunk_tokens(position, self.request.priority, keys_come=keys_come)
        end = min(len(self._tokens), position + size)
        if model.backend.info.recurrent:
            end = next((stable for stable in self._stable if position < stable < end), end)
        rows = max(0, end - max(position, first_row))
        costs = model.backend.info.costs
        if costs is not None and costs.apart_pays(end - position, position, rows):
            end, rows = end - rows + 1, 1
        chunk = self._tokens[position:end]
        self._complete = end == len(self._tokens) and not self._drafts_lag()
        room = model.backend.info.chunk_tokens - len(chunk)  # a batch holds no more
        if self.request.priority.yields:
            room = min(room, model.chunk_tokens(end, self.request.priority) - len(chunk))
        draft = Draft()
        if wanted and alone and self._complete:
            draft = self._next_draft(end, room)
            work = self._follow(draft) if draft.match == MODEL and len(draft.tokens) < draft.size else None
            if work is not None:
                self._complete = False
                return work
        fitting = draft.tokens[: max(0, room)]
        return Work(model.backend, model.cache, sequence, position, chunk, rows, fitting, draft.match)

    def together_pays(self, count: int) -> bool:
        """Whether `count` candidates take less time in one batch than one after another."""
        costs = self.model.backend.info.costs
        return costs is None or not costs.apart_pays(count, len(self._tokens) - 1, count)

    def take(self, work: Work, rows: list[Logits]) -> None:
        """Records that `work` has been evaluated. rows: the logits asked for and those behind the draft."""
        if work.backend is not self.model.backend:
            self._take_drafted(work, rows)
            return
        self._draft, self._followed_ms = None, 0.0
        cache, end = self.model.cache, work.position + len(work.tokens)
        cache.append(work.sequence, [*work.tokens, *work.draft])
        for index, row in enumerate(rows[: work.logits], end - work.logits):
            cache.keep_row(work.sequence, index, row, first=self._heal_from - 1)
        self._rows = rows[max(0, work.logits - 1) :]
        self._draft_work = work if work.draft else None
        if work.draft:
            self._watched = None  # it learns from this one
        if self._cost.decoded == 0:
            self._cost.evaluated += len(work.tokens)
            self._cost.read = end
        if end in self._stable and self.model.backend.info.recurrent:
            self.model.backend.checkpoint(work.sequence)

    def spend(self, seconds: float, work: Work) -> None:
        """Adds the time of a step to what the request has cost."""
        if self.request.priority.yields and work.backend is self.model.backend:
            budget_ms = self.model.budget_ms(work.position, self.request.priority)
            self.model.actions.learn(len(work.tokens) + len(work.draft), 1000 * seconds, budget_ms)
        self._cost.spend(seconds)
        if work.backend is self.model.backend:
            self.model.pace.learn(len(work.tokens), work.position, seconds)

    def write(self, now: float) -> Step:
        """Writes what the logits allow: nothing, a token, or with a draft that holds several."""
        if not self._complete:
            return self._cost.prompt_read(self.request.id), None
        if self._cost.decoded == 0:
            self._cost.prompt_done()
        if self.request.max_tokens == 0:
            return None, FinishReason.LENGTH
        began = len(self.text)
        reason = self._write_all()
        text = self.text[began:]
        if not text:
            return None, reason
        delta = TextDelta(self.request.id, text, self._delta_logprob, self._cost.usage(now))
        self._delta_logprob = 0.0
        return delta, reason

    def finished(self, reason: FinishReason, now: float, message: str = "") -> Finished:
        """The request's last event."""
        usage = self._cost.usage(now)
        return Finished(self.request.id, self.text, reason, usage, self._cost.mean_logprob(), message)

    def _write_all(self) -> FinishReason | None:
        """Writes one token, and on as long as the draft agrees."""
        rows, self._rows = self._rows, []
        work, self._draft_work = self._draft_work, None
        healing = self._healing
        if healing is None and self._cost.decoded == 0 and self.sequence is not None:
            healing = heal(self.model, self.sequence, self._tokens, self._heal_from, self.request)
        if healing is not None:
            self._healing = None
            index, token, row, piece = healing
            whole = self.model.vocabulary.piece(token)
            rivals = [self._tokens[index], *self.model.vocabulary.longer_than(whole.removesuffix(piece))]
            del self._tokens[index:]
            return self._append(token, row, piece, rivals)
        reason, verified, accepted = None, 0, 0
        draft = work.draft if work else []
        for row, drafted in zip(rows, [*draft, None], strict=True):
            token = self._best(row)
            verified += drafted is not None
            if self.model.ends(token, answers=self.request.stop is None):
                reason = FinishReason.END
                break
            accepted += token == drafted
            reason = self._append(token, row, self.model.piece(token, answers=self.request.stop is None))
            if reason is not None or token != drafted:
                break
        if work is not None:
            self._cost.drafted += len(draft)
            self._cost.accepted += accepted
            self.model.rates.learn(work.match, verified, accepted)
        return reason

    def _best(self, row: Logits) -> int:
        """The likeliest token, or for another candidate's first token the one of its rank."""
        rank = self.request.rank if self._cost.decoded == 0 else 0
        begun, _ = self._utf8.getstate()  # of a character that is not whole
        return best(self.model, self.request, self.text, row, rank, begun)

    # Drafts ---------------------------------------------------------------------------------------------

    def _next_draft(self, end: int, room: int) -> Draft:
        """What is drafted behind the last token: what promises most of what was looked up and what the small model
        writes, if verifying it pays."""
        if self._draft is not None:
            return self._draft
        model, info = self.model, self.model.backend.info
        room = min(room, self.request.max_tokens - self._cost.decoded - 1)
        if info.recurrent or room <= 0 or (self._cost.decoded == 0 and self.request.rank > 0):
            return Draft()
        if self._expected is not None and (draft := self._expected_draft(self._expected, end, room)).tokens:
            self._draft = draft
            return draft
        if info.costs is None:
            return Draft()
        if self._drafter is None:
            self._drafter = Drafter(model.cache.texts(self.sequence))
        match, tokens = self._drafter.propose(self._tokens)
        draft = Draft()
        if tokens:
            size, gain = draft_length(info.costs, end, model.rates[match], min(room, len(tokens)))
            draft = Draft(match, size, gain, tokens[:size])
            if not size and self._watched is None:
                self._watched = Draft(match, tokens=tokens[:room])
        # The first token is not kept waiting for what may follow it; nor the next for a small model far behind, which
        # may take as long as a token does, and goes on after that.
        if self._cost.decoded > 0 and self._followed_ms < info.costs.ms(1, end):
            size, gain = self._model_draft(end, room)
            if gain > draft.gain and self._drafts is not None and self._drafts.can_follow(self._tokens):
                draft = Draft(MODEL, size, gain)
            elif not size:
                model.rates.turned_down()
        self._draft = draft
        return draft

    def _expected_draft(self, expected: ExpectedText, end: int, room: int) -> Draft:
        """What comes next in the text that the answer is expected to be like."""
        tokens, costs = expected.next(room), self.model.backend.info.costs
        if costs is None:
            return Draft(EXPECTED, tokens=tokens[:UNMEASURED_DRAFT])
        size, gain = draft_length(costs, end, self.model.rates[EXPECTED], len(tokens))
        return Draft(EXPECTED, size, gain, tokens[:size])

    def _watch(self, token: int) -> None:
        """Learns from a draft that did not seem to pay whether it would have held, which costs nothing."""
        watched = self._watched
        if watched is None:
            return
        held = watched.tokens[watched.size] == token
        watched.size += held
        if not held or watched.size == len(watched.tokens):
            self.model.rates.learn(watched.match, len(watched.tokens), watched.size)
            self._watched = None

    def _model_draft(self, depth: int, room: int) -> tuple[int, float]:
        """How many tokens the small model should draft, and how many times as fast that makes decoding."""
        costs = self.model.backend.info.costs
        if costs is None or self._drafts is None or self._drafts.model.failure:
            return 0, 1.0
        return draft_length(costs, depth, self.model.rates[MODEL], room, self._drafts.model.costs.ms(1, depth))

    def _drafts_lag(self) -> bool:
        """Whether a prompt that is only evaluated should be by the small model, too."""
        if self._drafts is None or self.request.max_tokens > 0 or not self._drafts.behind(self._tokens):
            return False
        return self._model_draft(len(self._tokens), self.model.backend.info.chunk_tokens)[0] > 0

    def _follow(self, draft: Draft | None = None) -> Work | None:
        """The small model's next step: to follow the request's tokens, and with a draft to add a token to it."""
        assert self._drafts is not None
        tokens = self._tokens if draft is None else [*self._tokens, *draft.tokens]
        work = self._drafts.prepare(tokens, step_ms(self.request.priority), draft=draft is not None)
        if work is None and draft is not None:
            draft.size = len(draft.tokens)
        return work

    def _take_drafted(self, work: Work, rows: list[Logits]) -> None:
        assert self._drafts is not None
        token = self._drafts.take(work, rows)
        draft = self._draft
        if token is None:
            self._draft = None
            self._followed_ms += self._drafts.model.costs.ms(len(work.tokens), work.position)
        elif draft is not None:
            over = self.model.ends(token, answers=self.request.stop is None)
            if not over:
                draft.tokens.append(token)
            if over or self._ends_with(draft.tokens):
                draft.size = len(draft.tokens)
            if over and not draft.tokens:
                self._watched = Draft(MODEL, tokens=[token])  # whether this is the end is told by what is written

    def _ends_with(self, tokens: list[int]) -> bool:
        """Whether the text would end with these."""
        if self.request.stop is None:
            return False
        text = b"".join(map(self.model.vocabulary.piece, tokens)).decode("utf-8", "ignore")
        return find_end(self.text + text, self.request.stop) is not None

    def _append(
        self, token: int, logits: Logits, piece: bytes, rivals: Sequence[int] | None = None
    ) -> FinishReason | None:
        """Takes `token` as the next one; `piece` is what it adds to the text. rivals: all tokens that could stand
        there, which its probability is one among; None for any. Returns why that was the last, or is not taken."""
        logprob = logprob_of(logits, token, rivals)
        if logprob < least(self.request, self.text):
            return FinishReason.STOP
        self._watch(token)
        if self._expected is not None:
            self._expected.write(token)
        self._tokens.append(token)
        self._cost.decoded += 1
        self._cost.logprob += logprob
        self._delta_logprob += logprob
        self.text += self._utf8.decode(piece)
        if self.request.stop is not None and find_end(self.text, self.request.stop) is not None:
            return FinishReason.STOP
        return FinishReason.LENGTH if self._cost.decoded >= self.request.max_tokens else None
