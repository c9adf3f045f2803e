// What counts as an accepted part of a suggestion.

import assert from "node:assert/strict";
import { test } from "node:test";
import { AcceptedParts } from "../src/acceptedParts.ts";

const uri = "file:///w/a.py";
const before = "total = su";
const texts = ["sum(a)\nmean(a)", "surface"];

/** What is told after `text` was put in at an offset of `before`, where the suggestions go on from `su`. */
function told(text: string, at = before.length, { byUser = false, in: changed = uri, moves = 2 } = {}): unknown {
  const parts = new AcceptedParts();
  parts.offers({ uri, id: 7, from: before.length - 2, texts });
  const now = before.slice(0, at) + text + before.slice(at);
  parts.changed(changed, 2, [{ rangeOffset: at, text }], (start, end) => now.slice(start, end));
  return parts.moved(changed, moves, byUser);
}

for (const text of ["m", "m(", "m(a)\n", "m(a)\r\n", "m(a)\nmean(a)", "rface"]) {
  test(`${JSON.stringify(text)} is a part`, () => assert.equal(told(text), 7));
}

test("what is typed is none, though it agrees", () => assert.equal(told("m", before.length, { byUser: true }), undefined));
test("what does not agree is none", () => assert.equal(told("b"), undefined));
test("what is put in before the suggestion is none", () => assert.equal(told("m", 2), undefined));
test("what is put in elsewhere is none", () => assert.equal(told("m", before.length, { in: "file:///b.py" }), undefined));
test("another version's cursor says nothing", () => assert.equal(told("m", before.length, { moves: 3 }), undefined));

test("a part is told once, and none without a suggestion or by several changes", () => {
  const parts = new AcceptedParts();
  const change = { rangeOffset: 0, text: "s" };
  parts.offers({ uri, id: 7, from: 0, texts });
  parts.changed(uri, 2, [change], () => "s");
  assert.equal(parts.moved(uri, 2, false), 7);
  assert.equal(parts.moved(uri, 2, false), undefined);
  parts.changed(uri, 3, [change, change], () => "s");
  assert.equal(parts.moved(uri, 3, false), undefined);
  parts.offers(undefined);
  parts.changed(uri, 4, [change], () => "s");
  assert.equal(parts.moved(uri, 4, false), undefined);
});
