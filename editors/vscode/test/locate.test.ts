// Finding the server, and naming the command that installs it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { expand, installCommand, locate, type Surroundings } from "../src/locate.ts";

function around(files: readonly string[], more: Partial<Surroundings> = {}): Surroundings {
  const isFile = (file: string): boolean => files.includes(file);
  return { setting: "", roots: ["/w/a", "/w/b"], searchPath: "/usr/bin:/bin", home: "/home/u", windows: false, isFile, ...more };
}

const everywhere = ["/s/fimble", "/w/a/.venv/bin/fimble", "/w/b/venv/bin/fimble", "/py/bin/fimble", "/bin/fimble"];
const python = "/py/bin/python3";

test("places are looked at in order", () => {
  const order = [
    ["/s/fimble", "setting"],
    ["/w/a/.venv/bin/fimble", "workspace"],
    ["/w/b/venv/bin/fimble", "workspace"],
    ["/py/bin/fimble", "Python extension"],
    ["/bin/fimble", "PATH"],
  ];
  order.forEach(([command, from], index) => {
    const setting = index === 0 ? "/s/fimble" : "";
    const location = locate(around(everywhere.slice(index), { setting, python }));
    assert.deepEqual(location, { found: true, command, from });
  });
});

test("~/.local/bin comes last", () => {
  const command = "/home/u/.local/bin/fimble";
  assert.deepEqual(locate(around([command])), { found: true, command, from: "PATH" });
});

test("a setting that names nothing is an error, though there is a server elsewhere", () => {
  const location = locate(around(everywhere, { setting: "/nowhere/fimble" }));
  assert.equal(location.found, false);
  assert.match(location.found ? "" : location.message, /fimble\.path names \/nowhere\/fimble/);
});

test("a setting may name an environment, be relative, or hold a variable", () => {
  for (const setting of [".venv", "/w/a/.venv", "${workspaceFolder}/.venv/bin/fimble", ".venv/bin/fimble"]) {
    const location = locate(around(["/w/a/.venv/bin/fimble"], { setting }));
    assert.deepEqual(location, { found: true, command: "/w/a/.venv/bin/fimble", from: "setting" }, setting);
  }
  assert.equal(expand("~/x", around([])), "/home/u/x");
  assert.equal(expand("~x", around([])), "/w/a/~x");
});

test("an empty entry of PATH is not the current folder", () => {
  assert.equal(locate(around(["fimble", "/fimble"], { searchPath: "::/bin" })).found, false);
});

test("Windows has other names", () => {
  const command = "C:\\w\\.venv\\Scripts\\fimble.exe";
  const windows = { roots: ["C:\\w"], home: "C:\\u", searchPath: "C:\\bin;D:\\x y", windows: true };
  assert.deepEqual(locate(around([command], windows)), { found: true, command, from: "workspace" });
  const inPath = locate(around(["D:\\x y\\fimble.exe"], windows));
  assert.equal(inPath.found && inPath.command, "D:\\x y\\fimble.exe");
});

test("the install command is for the environment the user works in", () => {
  const what = "'fimble[starter]'";
  assert.equal(installCommand(around(["/w/b/.venv/bin/python"], { python })), `/w/b/.venv/bin/python -m pip install ${what}`);
  assert.equal(installCommand(around([], { python })), `/py/bin/python3 -m pip install ${what}`);
  assert.equal(installCommand(around(["/bin/uv", "/bin/pipx"])), `uv tool install ${what}`);
  assert.equal(installCommand(around(["/bin/pipx"])), `pipx install ${what}`);
  assert.equal(installCommand(around([])), `python3 -m pip install --user ${what}`);
  assert.equal(installCommand(around([], { python: "/my env/it's/python" })), `'/my env/it'\\''s/python' -m pip install ${what}`);
  const windows = { windows: true, python: "C:\\my env\\python.exe", roots: [] };
  assert.equal(installCommand(around([], windows)), '& "C:\\my env\\python.exe" -m pip install "fimble[starter]"');
});
