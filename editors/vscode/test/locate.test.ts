// Finding the server, and naming the command that installs it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { expand, installCommand, installSource, locate, sourceProblem, type Surroundings } from "../src/locate.ts";

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
  const what = "'fimble @ file:///s/fimble'";
  const command = (files: string[], more: Partial<Surroundings> = {}): string => installCommand("/s/fimble", around(files, more));
  assert.equal(command(["/w/b/.venv/bin/python"], { python }), `/w/b/.venv/bin/python -m pip install ${what}`);
  assert.equal(command([], { python }), `/py/bin/python3 -m pip install ${what}`);
  assert.equal(command(["/bin/uv", "/bin/pipx"]), `uv tool install ${what}`);
  assert.equal(command(["/bin/pipx"]), `pipx install ${what}`);
  assert.equal(command([]), `python3 -m pip install --user ${what}`);
  assert.equal(command([], { python: "/my env/it's/python" }), `'/my env/it'\\''s/python' -m pip install ${what}`);
});

test("it names a folder or a URL as pip takes it", () => {
  const source = (named: string): string => installCommand(named, around([])).replace("python3 -m pip install --user ", "");
  assert.equal(source("git+https://example.org/fimble"), "'fimble @ git+https://example.org/fimble'");
  assert.equal(source("~/src/fimble"), "'fimble @ file:///home/u/src/fimble'");
  assert.equal(source("/it's 100%/fimble"), "'fimble @ file:///it%27s%20100%25/fimble'");
  const windows = { windows: true, python: "C:\\my env\\python.exe", roots: [], home: "C:\\u" };
  assert.equal(
    installCommand("C:\\s\\fimble", around([], windows)),
    '& "C:\\my env\\python.exe" -m pip install "fimble @ file:///C:/s/fimble"',
  );
});

test("it is installed from the setting, or from a checkout in the workspace, and else nobody knows", () => {
  const checkout = ["/w/b/pyproject.toml", "/w/b/lsp_server/cli.py"];
  assert.equal(installSource(" /s/fimble ", around(checkout)), "/s/fimble");
  assert.equal(installSource("", around(checkout)), "/w/b");
  assert.equal(installSource("", around(["/w/b/pyproject.toml"])), undefined);
});

test("a source that pip cannot install is named", () => {
  const files = ["/w/b/pyproject.toml", "/w/b/lsp_server/cli.py", "/s/fimble-0.1.0-py3-none-any.whl", "/s/notes.txt"];
  for (const good of ["/w/b", "/s/fimble-0.1.0-py3-none-any.whl", "https://example.org/fimble.whl"]) {
    assert.equal(sourceProblem(good, around(files)), undefined, good);
  }
  for (const bad of ["/w/a", "/s/notes.txt", "/s/missing.whl", "fimble"]) {
    assert.match(sourceProblem(bad, around(files)) ?? "", /neither a checkout/, bad);
  }
});
