// Which next edit is shown, when, and what is drawn of it.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  isAt,
  type Lines,
  type NextEdit,
  type Picture,
  picture,
  Proposals,
  reason,
  takesTab,
  whereabouts,
} from "../src/nextEdit.ts";
import type { Place, Position } from "../src/place.ts";

const uri = "file:///w/a.py";
const cursor: Place = { uri, version: 3, line: 0, character: 8 };

function at(line: number, character: number): Position {
  return { line, character };
}

function edit(start: Position, end: Position, text: string, version = 3): NextEdit {
  const command = { title: "fimble: width is breadth now", command: "fimble.acceptNextEdit", arguments: ["1"] };
  return { text, textDocument: { uri, version }, range: { start, end }, command };
}

function open(text: string): Lines {
  const lines = text.split("\n");
  return { count: lines.length, at: (line) => lines[line] ?? "" };
}

const rename = edit(at(1, 11), at(1, 16), "breadth");

// Which one is shown ------------------------------------------------------------------------------------

/** Proposals for documents whose versions the test sets. */
function proposals(): { versions: Map<string, number>; now: Proposals } {
  const versions = new Map([[uri, 3]]);
  return { versions, now: new Proposals((name) => versions.get(name)) };
}

test("the first edit of an answer is shown until it is hidden", () => {
  const { now } = proposals();
  const turn = now.ask();
  assert.equal(now.answered(turn, [rename, edit(at(0, 0), at(0, 0), "x")], cursor), rename);
  assert.equal(now.current, rename);
  now.clear();
  assert.equal(now.current, undefined);
});

test("an answer does not count when another one was asked for, or it came too late, or it is empty", () => {
  const { now } = proposals();
  const turn = now.ask();
  now.ask();
  assert.equal(now.answered(turn, [rename], cursor), undefined);
  const second = now.ask();
  now.clear();
  assert.equal(now.answered(second, [rename], cursor), undefined);
  assert.equal(now.answered(now.ask(), [], cursor), undefined);
  assert.equal(now.current, undefined);
});

test("an edit counts for its version of its document alone", () => {
  const { now, versions } = proposals();
  assert.equal(now.answered(now.ask(), [edit(at(0, 0), at(0, 0), "x", 2)], cursor), undefined);
  assert.equal(now.answered(now.ask(), [rename], cursor), rename);
  versions.set(uri, 4);
  assert.equal(now.current, undefined);
  versions.delete(uri);
  assert.equal(now.current, undefined);
});

test("nothing is shown while a completion is on the screen, and it is asked for again when that has gone", () => {
  const { now } = proposals();
  now.answered(now.ask(), [rename], cursor);
  now.completing(cursor, cursor);
  assert.equal(now.current, undefined);
  assert.equal(now.answered(now.ask(), [rename], cursor), undefined);
  assert.ok(!now.completionGone(cursor, false));
  assert.ok(now.completionGone({ ...cursor, character: 9 }, false));
  assert.ok(!now.completionGone({ ...cursor, character: 9 }, false), "once");
  assert.equal(now.answered(now.ask(), [rename], cursor), rename);
});

test("a completion that is dismissed has gone", () => {
  const { now } = proposals();
  now.completing(cursor, cursor);
  assert.ok(now.isCompleting(cursor));
  assert.ok(now.completionGone(cursor, true));
  assert.ok(!now.isCompleting(cursor));
});

test("a completion that comes too late for the text or the cursor hides nothing", () => {
  const { now } = proposals();
  now.answered(now.ask(), [rename], cursor);
  now.completing({ ...cursor, version: 2 }, cursor);
  now.completing({ ...cursor, line: 5 }, cursor);
  assert.equal(now.current, rename);
});

// What the keys do --------------------------------------------------------------------------------------

test("the key makes the edit in its lines, and goes there from elsewhere", () => {
  const long = edit(at(4, 2), at(6, 0), "x");
  assert.deepEqual([3, 4, 6, 7].map((line) => isAt(long, uri, line)), [false, true, true, false]);
  assert.ok(!isAt(long, "file:///w/b.py", 5));
});

test("Tab indents in a line without text, unless the edit is there", () => {
  assert.ok(takesTab(rename, uri, 4, "    passed"));
  assert.ok(!takesTab(rename, uri, 4, "    "));
  assert.ok(!takesTab(rename, uri, 4, ""));
  assert.ok(takesTab(rename, uri, 1, ""));
});

test("the place is told as a line, and with the file if it is another one", () => {
  assert.equal(whereabouts(rename, uri), "line 2");
  const other = { ...rename, textDocument: { uri: "file:///w/a%20b.py", version: 1 } };
  assert.equal(whereabouts(other, uri), "a b.py:2");
  assert.equal(whereabouts({ ...rename, textDocument: { uri: "file:///w/50%.py", version: 1 } }, uri), "50%.py:2");
  assert.equal(reason(rename), "width is breadth now");
});

// What is drawn -----------------------------------------------------------------------------------------

const source = "def area(breadth):\n    size = width * 2\n\treturn size\nlast";

function drawn(start: Position, end: Position, text: string): Picture {
  return picture(edit(start, end, text), open(source), 4);
}

test("a name in a line: what goes, and behind it what comes", () => {
  const expected = { goes: { start: at(1, 11), end: at(1, 16) }, inline: { at: at(1, 16), text: "breadth" }, rows: [] };
  assert.deepEqual(drawn(at(1, 11), at(1, 16), "breadth"), expected);
});

test("what only goes, and what only comes", () => {
  assert.deepEqual(drawn(at(1, 4), at(2, 0), ""), { goes: { start: at(1, 4), end: at(2, 0) }, rows: [] });
  assert.deepEqual(drawn(at(0, 16), at(0, 16), ", b"), { inline: { at: at(0, 16), text: ",\u00a0b" }, rows: [] });
});

test("lines that come in front of a line, beside it and the ones below", () => {
  const expected = {
    rows: [
      { line: 1, gap: 3, text: "@cached\u00a0" },
      { line: 2, gap: 8, text: "\u00a0\u00a0\u00a0\u00a0@one" },
    ],
    seam: { line: 1, above: true },
  };
  assert.deepEqual(drawn(at(1, 0), at(1, 0), "@cached\n    @one\n"), expected);
});

test("lines that come behind a line", () => {
  const { rows, seam, goes } = drawn(at(1, 20), at(1, 20), "\r\n    b = 1");
  assert.deepEqual(seam, { line: 1, above: false });
  assert.deepEqual(rows, [{ line: 1, gap: 3, text: "\u00a0\u00a0\u00a0\u00a0b\u00a0=\u00a01" }]);
  assert.equal(goes, undefined);
});

test("a whole line for a whole line is drawn in the line", () => {
  const expected = { goes: { start: at(1, 0), end: at(1, 20) }, inline: { at: at(1, 20), text: "pass" }, rows: [] };
  assert.deepEqual(drawn(at(1, 0), at(2, 0), "pass\n"), expected);
});

test("more lines than the document has left begin higher, and there are no more than twelve", () => {
  const two = drawn(at(3, 4), at(3, 4), "\none\ntwo");
  assert.deepEqual(two.rows.map(({ line }) => line), [2, 3]);
  const many = Array.from({ length: 20 }, (_, index) => `line ${index}\n`).join("");
  assert.equal(drawn(at(0, 0), at(0, 0), many).rows.length, 4);
  const long = picture(edit(at(0, 0), at(0, 0), many), open("x\n".repeat(50)), 4);
  assert.equal(long.rows.length, 12);
  assert.match(long.rows.at(-1)?.text ?? "", /^… 9 more lines/);
});

test("a long line does not push the box out of sight, and wide characters and tabs count", () => {
  const lines = `${"x".repeat(90)}\n\tあ\n\n`;
  const { rows } = picture(edit(at(0, 0), at(0, 0), "a\nb\nc\n"), open(lines), 4);
  assert.deepEqual(rows.map(({ gap }) => gap), [3, 57, 63]);
});

test("what could hide something is seen", () => {
  assert.equal(drawn(at(0, 0), at(0, 0), "a\u202eb\u0007").inline?.text, "a\ufffdb\ufffd");
});

test("whatever the edit, what goes and comes gives the text that it makes", () => {
  let seed = 7;
  const random = (below: number): number => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return Math.floor(seed / 65536) % below;
  };
  const piece = (): string => Array.from({ length: random(9) }, () => "ab\n x"[random(5)]).join("");
  for (let round = 0; round < 2000; round += 1) {
    const text = `${piece()}\n${piece()}\n${piece()}`;
    const [from, to] = [random(text.length + 1), random(text.length + 1)].sort((one, other) => one - other) as [number, number];
    const place = (offset: number): Position => {
      const before = text.slice(0, offset).split("\n");
      return at(before.length - 1, before.at(-1)?.length ?? 0);
    };
    const comes = piece();
    const made = (text.slice(0, from) + comes + text.slice(to)).split("\n");
    const lines = open(text);
    const { goes, inline, rows, seam } = picture(edit(place(from), place(to), comes), lines, 4);
    const old = text.split("\n");
    if (rows.length === 0) {
      const first = goes?.start ?? inline?.at ?? at(0, 0);
      const last = goes?.end ?? inline?.at ?? at(0, 0);
      const line = lines.at(first.line).slice(0, first.character) + (inline?.text ?? "").replaceAll("\u00a0", " ");
      const result = [...old.slice(0, first.line), line + lines.at(last.line).slice(last.character), ...old.slice(last.line + 1)];
      assert.deepEqual(result, made, JSON.stringify({ text, from, to, comes }));
    } else if (!rows.some((row) => row.text.startsWith("…"))) {
      const top = seam === undefined ? place(from).line : seam.line + (seam.above ? 0 : 1);
      const seen = rows.map((row) => row.text.replaceAll("\u00a0", " ").trimEnd());
      assert.deepEqual(seen, made.slice(top, top + rows.length).map((line) => line.trimEnd()), JSON.stringify({ text, from, to, comes }));
    }
  }
});
