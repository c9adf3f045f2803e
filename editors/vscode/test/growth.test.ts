// When more of a suggestion is asked for.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Growth, type Grown } from "../src/growth.ts";
import type { Place } from "../src/place.ts";

const grown: Grown = { uri: "file:///w/a.py", version: 3, position: { line: 7, character: 4 } };
const here: Place = { uri: "file:///w/a.py", version: 3, line: 7, character: 4 };

test("what has grown at the cursor is wanted", () => {
  assert.ok(new Growth().wanted(grown, here));
});

const elsewhere: [string, Place | undefined][] = [
  ["another document", { ...here, uri: "file:///w/b.py" }],
  ["another version", { ...here, version: 4 }],
  ["another line", { ...here, line: 8 }],
  ["another column", { ...here, character: 5 }],
  ["no document", undefined],
];

for (const [name, place] of elsewhere) {
  test(`not at ${name}`, () => assert.ok(!new Growth().wanted(grown, place)));
}

test("what was dismissed does not come back until the text or the cursor changes", () => {
  const growth = new Growth();
  growth.dismissed(here);
  assert.ok(!growth.wanted(grown, here));
  assert.ok(growth.wanted({ ...grown, version: 4 }, { ...here, version: 4 }));
});

test("a request counts as ours as long as its command runs, also if that fails", async () => {
  const growth = new Growth();
  assert.ok(!growth.isAsking);
  await growth.ask(async () => assert.ok(growth.isAsking));
  await assert.rejects(growth.ask(() => Promise.reject(new Error("no"))));
  assert.ok(!growth.isAsking);
});

test("what was typed and not answered is asked about once, as long as it is the last that was typed", () => {
  const growth = new Growth();
  assert.ok(!growth.isMissing(here));
  growth.typed(here.uri, here.version);
  assert.ok(growth.isMissing(here));
  assert.ok(!growth.isMissing(here));
  growth.typed(here.uri, here.version);
  assert.ok(!growth.isMissing({ ...here, version: 4 }));
  growth.typed(here.uri, here.version);
  growth.answered(here);
  assert.ok(!growth.isMissing(here));
});
