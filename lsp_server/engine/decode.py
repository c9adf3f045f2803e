"""One request while the engine works on it: the tokens in the cache catch up with the tokens of the request.

There is no prefill phase and no decode phase (an idea of vLLM's v1 engine): the request's tokens are at first those of
the prompt, and each decoded token adds one more to evaluate.
"""

from __future__ import annotations

import codecs
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lsp_server.core.stopping import find_end
from lsp_server.engine.allowed_tokens import best, min_logprob
from lsp_server.engine.cost import Cost
from lsp_server.engine.drafts import Drafts
from lsp_server.engine.encode import Encoded
from lsp_server.engine.healing import MOST_HEALED_TOKENS, Healing, first_healed, heal
from lsp_server.engine.model import LoadedModel
from lsp_server.engine.prefix_cache import common_prefix
from lsp_server.engine.request import Finished, FinishReason, Generate, PromptRead, TextDelta, Working
from lsp_server.engine.speculate import Draft
from lsp_server.engine.vocabulary import logprob_of
from lsp_server.engine.work import Work

if TYPE_CHECKING:
    from lsp_server.backends.base import Logits

# The event of a step (new text, or the progress of the prompt), and the finish reason if the request is done.
Step = tuple[TextDelta | PromptRead | None, FinishReason | None]

# If the full prompt takes longer than this to evaluate, the request is answered from its quick prompt, if it has one.
QUICK_ABOVE_SECONDS = 1.2


class Generation:
    """A request's tokens, text and cost. It holds a sequence of the KV cache from `place` until `release`.

    Healing: the last typed tokens may be replaced by one longer token that begins with their bytes, if the model
    prefers it. The logits that decide it are kept with the sequence, so the next key needs no evaluation for it.
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
        self.model = model
        self._read(encoded)
        self._quick = quick
        self._delta_logprob = 0.0
        self._healing: Healing | None = None
        self._complete = False
        self._draft_work: Work | None = None
        self._rows: list[Logits] = []
        self._drafts = Drafts(request, model)
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def _read(self, encoded: Encoded) -> None:
        self._tokens = list(encoded.tokens)
        # Logits from `_heal_from` - 1 on are needed. Those from `_rows_from` on are needed at one of the next keys, and
        # are kept if their tokens are evaluated.
        self._rows_from = len(encoded.tokens) - min(MOST_HEALED_TOKENS, encoded.typed) - 1
        self._heal_from = first_healed(self.model.vocabulary, encoded.tokens, self._rows_from + 1)
        self._cost.prompt, self._cost.cut, self._cost.evaluated = len(encoded.tokens), encoded.cut, 0
        self._stable = encoded.stable

    def choose_prompt(self, like: Generation | None = None) -> None:
        """Changes to the quick prompt if the rest of the full prompt takes too long to evaluate.

        This may also happen in the middle of the prompt, when steps show that the machine has become slow. Evaluated
        tokens stay in the cache. like: another candidate of this request; its choice is copied.
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
        """What the next step does for this request, for the user to see."""
        return self._cost.working(self.request, self.model.backend.length(self.sequence or 0))

    def interrupted(self) -> None:
        """Notes that the step was interrupted: its tokens still have to be evaluated."""
        self._complete = False
        self._draft_work = None
        self._drafts.interrupted()

    def already_done(self) -> bool:
        """Whether there is nothing to do: only the prompt is to be evaluated, and all of it is in the cache."""
        if self.request.max_tokens > 0 or self.model.cache.match(self._tokens)[1] < len(self._tokens):
            return False
        if self._drafts.is_behind(self._tokens):
            return False
        self._cost.reused = len(self._tokens)
        return True

    def place(self, now: float) -> bool:
        """Takes a sequence of the KV cache. Returns False if all are busy."""
        self.sequence = self.model.take_sequence(self._tokens)
        if self.sequence is None:
            return False
        if self._cost.started is None:
            self._cost.started = now
        return True

    def release(self) -> None:
        """Gives the sequence back. Its tokens stay in the cache."""
        if self.sequence is not None:
            # The text of an alternative candidate is seldom continued.
            self.model.cache.release(self.sequence, worthless=self.request.rank > 0)
            self.sequence = None
        self._drafts.release()

    def prepare(self, *, alone: bool = True, pause: float = math.inf) -> Work | None:
        """Cuts the sequence back to its common prefix with the request's tokens, and returns the next work of the model
        or of its draft model; None if the logits for a token are there already.

        alone: whether the batch has only this request, so that a draft may be verified. pause: the seconds since the
        last completion request.
        """
        assert self.sequence is not None
        wanted, sequence, model = self.request.max_tokens > 0, self.sequence, self.model
        if wanted and self._cost.decoded == 0:
            # A healed token replaces typed tokens, so these are evaluated only if no token is healed.
            self._healing = heal(model, sequence, self._tokens, self._heal_from, self.request)
            if self._healing is not None:
                self._complete = True
                return None
        first_row = kept_row = len(self._tokens) - 1
        if self._cost.decoded == 0:
            first_row, kept_row = self._heal_from - 1, self._rows_from
        held = model.cache.tokens(sequence)
        position = common_prefix(held, self._tokens)
        if wanted:
            missing = (i for i in range(max(0, first_row), position) if model.cache.row(sequence, i) is None)
            position = next(missing, position)
        if position == len(self._tokens):
            row = model.cache.row(sequence, position - 1)
            self._rows = [row] if row is not None else []
            work = self._drafts.follow(self._tokens) if self._drafts.is_behind(self._tokens) else None
            self._complete = work is None
            return work
        if len(held) > position:
            # The backend says how much is left: a recurrent model goes back further.
            position = model.backend.truncate(sequence, position)
            model.cache.truncate(sequence, position)
        size = model.chunk_tokens(position, self.request.priority, pause)
        end = min(len(self._tokens), position + size)
        if model.backend.info.recurrent:
            end = next((stable for stable in self._stable if position < stable < end), end)
        rows = max(0, end - max(position, kept_row))
        costs = model.backend.info.costs
        if costs is not None and costs.apart_pays(end - position, position, rows):
            rows = max(0, end - max(position, first_row))
            if costs.apart_pays(end - position, position, rows):
                end, rows = end - rows + 1, 1
        chunk = self._tokens[position:end]
        self._complete = end == len(self._tokens) and not self._drafts.is_behind(self._tokens)
        room = model.backend.info.chunk_tokens - len(chunk)  # a batch holds no more
        if self.request.priority.yields:
            room = min(room, model.chunk_tokens(end, self.request.priority) - len(chunk))
        draft = Draft()
        if wanted and alone and self._complete:
            draft = self._drafts.next(self._tokens, end, room, self._cost.decoded, sequence)
            work = self._drafts.extend(self._tokens, draft)
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
        """Records that `work` has been evaluated. rows: the requested logits, then those after each draft token."""
        if work.backend is not self.model.backend:
            self._drafts.take(work, rows, self.text)
            return
        self._drafts.evaluated(work)
        cache, end = self.model.cache, work.position + len(work.tokens)
        cache.append(work.sequence, [*work.tokens, *work.draft])
        for index, row in enumerate(rows[: work.logits], end - work.logits):
            cache.keep_row(work.sequence, index, row, first=self._rows_from)
        self._rows = rows[max(0, work.logits - 1) :]
        self._draft_work = work if work.draft else None
        if self._cost.decoded == 0:
            self._cost.evaluated += len(work.tokens)
            self._cost.read = end
        if end in self._stable and self.model.backend.info.recurrent:
            self.model.backend.checkpoint(work.sequence)

    def spend(self, seconds: float, work: Work) -> None:
        """Adds the duration of a step to the request's cost, and learns how fast steps are."""
        if self.request.priority.yields and work.backend is self.model.backend:
            budget_ms = self.model.budget_ms(work.position, self.request.priority)
            self.model.actions.learn(len(work.tokens) + len(work.draft), 1000 * seconds, budget_ms)
        self._cost.spend(seconds)
        if work.backend is self.model.backend:
            self.model.pace.learn(len(work.tokens), work.position, seconds)

    def write(self, now: float) -> Step:
        """Adds to the text: nothing while the prompt is incomplete, else one token, or several with an accepted
        draft."""
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
        """Adds one token, then further tokens as long as they agree with the draft."""
        rows, self._rows = self._rows, []
        work, self._draft_work = self._draft_work, None
        healing = self._healing
        if healing is None and self._cost.decoded == 0 and self.sequence is not None:
            healing = heal(self.model, self.sequence, self._tokens, self._heal_from, self.request)
        if healing is not None:
            self._healing = None
            index, healed, row, piece = healing
            whole = self.model.vocabulary.piece(healed)
            rivals = [self._tokens[index], *self.model.vocabulary.longer_than(whole.removesuffix(piece))]
            del self._tokens[index:]
            return self._append(healed, row, piece, rivals)
        reason, verified, accepted = None, 0, 0
        draft = work.draft if work else []
        for row, drafted in zip(rows, [*draft, None], strict=True):
            token = self._best(row)
            verified += drafted is not None
            if token is None or self.model.ends(token, answers=self.request.stop is None):
                reason = FinishReason.END if self._may_end(token, row) else FinishReason.STOP
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

    def _best(self, row: Logits) -> int | None:
        """The most probable token; for the first token of an alternative candidate, the token at the candidate's
        rank. None if the text must end."""
        rank = self.request.rank if self._cost.decoded == 0 else 0
        begun, _ = self._utf8.getstate()  # the bytes of an incomplete character
        return best(self.model, self.request, self.text, row, rank, begun)

    def _may_end(self, token: int | None, row: Logits) -> bool:
        """Whether the end token is as probable as a token must be here. None: no token may follow."""
        least = min_logprob(self.request, self.text)
        return token is not None and (least == -math.inf or logprob_of(row, token) >= least)

    def _append(
        self, token: int, logits: Logits, piece: bytes, rivals: Sequence[int] | None = None
    ) -> FinishReason | None:
        """Appends `token` and the bytes `piece`, unless its probability is too low. rivals: the tokens among which that
        is computed; None: all. Returns the finish reason, or None to go on."""
        logprob = logprob_of(logits, token, rivals)
        if logprob < min_logprob(self.request, self.text):
            return FinishReason.STOP
        self._drafts.written(token)
        self._tokens.append(token)
        self._cost.decoded += 1
        self._cost.logprob += logprob
        self._delta_logprob += logprob
        self.text += self._utf8.decode(piece)
        if self.request.stop is not None and find_end(self.text, self.request.stop) is not None:
            return FinishReason.STOP
        return FinishReason.LENGTH if self._cost.decoded >= self.request.max_tokens else None
