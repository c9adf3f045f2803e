// What the server is told of the settings, and when one that died is started again.

import assert from "node:assert/strict";
import { test } from "node:test";
import { CrashPolicy } from "../src/crashes.ts";
import { explicitSettings, toggled } from "../src/settings.ts";

test("only what is set is told, the workspace's over the user's, and nothing of the extension's own", () => {
  const values: Record<string, object> = {
    enabled: { globalValue: true, workspaceValue: false },
    model: { globalValue: "m.gguf" },
    answerMs: { defaultValue: 120 },
    path: { globalValue: "/bin/fimble" },
    "trace.server": { globalValue: "verbose" },
  };
  const declared = [...Object.keys(values), "unknown"].map((name) => `fimble.${name}`);
  assert.deepEqual(explicitSettings(declared, (name) => values[name]), { enabled: false, model: "m.gguf" });
});

test("a language is added and taken out again", () => {
  assert.deepEqual(toggled(["go"], "python"), ["go", "python"]);
  assert.deepEqual(toggled(["go", "python"], "go"), ["python"]);
});

test("a server that ran is restarted four times in three minutes", () => {
  const policy = new CrashPolicy();
  const answers = [0, 1, 2, 3, 4, 5].map((second) => policy.restarts(true, 1000 * second));
  assert.deepEqual(answers, [true, true, true, true, false, false]);
  assert.equal(policy.restarts(true, 200_000), true);
});

test("a server that never got ready is not started again", () => {
  assert.equal(new CrashPolicy().restarts(false, 0), false);
});
