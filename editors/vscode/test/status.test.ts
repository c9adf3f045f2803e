// The words for the state of things.

import assert from "node:assert/strict";
import { test } from "node:test";
import { bar, details, headline, type Server, type ServerStatus, type Situation, type Told, why } from "../src/status.ts";

const uri = "file:///w/a.py";
const front = { uri, language: "python", languageName: "Python" };

const idle: Told = { state: "idle", what: "completion", percent: null, text: "" };

function status(
  model: Partial<ServerStatus["model"]> = {},
  recent: ServerStatus["requests"]["recent"] = [],
  state: Partial<Told> = {},
): Server {
  const counts = { answered: 9, model: 4, memory: 3, empty: 2 };
  const settings = { enabled: true, disabled_languages: [] };
  const latencyMs = { median: 34.4, p95: 1234 };
  const whole = { state: "ready", progress: 1, message: "", name: "Qwen2.5 Coder 0.5B", device: "CPU", ...model };
  const requests = { counts, latencyMs, recent };
  return { kind: "running", status: { version: "0.1", state: { ...idle, ...state }, settings, model: whole, requests } };
}

function now(more: Partial<Situation> = {}): Situation {
  return { server: status(), enabled: true, disabledLanguages: [], ghostText: true, front, ...more };
}

const off = ["python"];
const table: [string, Situation, string, RegExp][] = [
  ["ready", now(), "$(sparkle) Qwen2.5 Coder 0.5B · 34 ms", /Nothing has been asked for/],
  ["off", now({ enabled: false }), "$(circle-slash) fimble: off", /switched off \(fimble\.enabled\)/],
  ["language", now({ disabledLanguages: off }), "$(circle-slash) fimble: off for Python", /off for Python/],
  ["loading", now({ server: status({ state: "loading", progress: 0.429 }) }), "$(loading~spin) fimble: loading 42%", /loading \(42%\)/],
  ["failed", now({ server: status({ state: "failed", message: "no such file" }) }), "$(error) fimble: no model", /^no such file$/],
  ["at rest", now({ server: status({ state: "idle", message: "unloaded" }) }), "$(sparkle) fimble: at rest", /comes back with the next key/],
  ["reading", now({ server: status({}, [], { state: "reading", percent: 40, text: "reading the file (40%)" }) }), "$(loading~spin) fimble: reading 40%", /Nothing has been asked for/],
  ["writing", now({ server: status({}, [], { state: "writing", text: "writing" }) }), "$(loading~spin) fimble: writing", /Nothing has been asked for/],
  ["measuring", now({ server: status({}, [], { state: "measuring", text: "measuring this machine" }) }), "$(loading~spin) fimble: measuring", /Nothing has been asked for/],
  ["snoozed", now({ server: status({}, [], { state: "off", text: "snoozed until 14:05" }) }), "$(circle-slash) fimble: off", /^Snoozed until 14:05\.$/],
  ["starting", now({ server: { kind: "starting" } }), "$(loading~spin) fimble", /starting/],
  ["idle", now({ server: { kind: "idle" }, front: undefined }), "$(sparkle) fimble", /No file is in front/],
  ["missing", now({ server: { kind: "missing", message: "not there" } }), "$(warning) fimble: not found", /^not there$/],
  ["stopped", now({ server: { kind: "stopped", message: "it died" } }), "$(error) fimble: stopped", /^it died$/],
];

for (const [name, situation, text, reason] of table) {
  test(`the bar and the reason: ${name}`, () => {
    assert.equal(bar(situation).text, text);
    assert.match(why(situation).message, reason);
    assert.ok(details(situation).every(([label, value]) => label !== "" && value !== ""));
  });
}

test("a long name is shortened in the bar and whole in the tooltip", () => {
  const name = "Qwen2.5 Coder 7B Instruct Q4_K_M";
  const situation = now({ server: status({ name }) });
  assert.match(bar(situation).text, /Qwen2\.5 Coder 7B Instru… · 34 ms$/);
  assert.equal(headline(situation), `${name} is ready.`);
  assert.match(new Map(details(situation)).get("Latency") ?? "", /34 ms at the median, 1\.2 s/);
});

test("another language's switch is not this one's", () => {
  assert.match(bar(now({ disabledLanguages: ["go"] })).text, /Qwen/);
});

test("the reason is the last answer's in this document", () => {
  const entry = { uri, source: "model", empty: true, stale: false, reason: "the model wrote nothing", totalMs: 120, line: 0, ageSeconds: 0.4 };
  const elsewhere = { ...entry, uri: "file:///w/b.py", reason: "elsewhere" };
  const overtaken = { ...entry, stale: true, reason: "the document changed" };
  const silent = why(now({ server: status({}, [entry, overtaken, elsewhere]) }));
  assert.equal(silent.message, "Nothing was suggested: the model wrote nothing.");
  const old = why(now({ server: status({}, [{ ...entry, line: 4, ageSeconds: 37.4 }]) }));
  assert.equal(old.message, "Nothing was suggested on line 5, 37 s ago: the model wrote nothing.");
  const older = why(now({ server: status({}, [{ ...entry, ageSeconds: 240 }]) }));
  assert.equal(older.message, "Nothing was suggested on line 1, 4 min ago: the model wrote nothing.");
  const shown = why(now({ server: status({}, [entry, { ...entry, empty: false, source: "memory" }]) }));
  assert.match(shown.message, /answered from memory in 120 ms/);
});

test("VS Code's own switch is named, with its remedy", () => {
  const { message, remedy } = why(now({ ghostText: false }));
  assert.match(message, /editor\.inlineSuggest\.enabled/);
  assert.equal(remedy, "ghostText");
});
