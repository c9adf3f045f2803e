// Finds the `fimble` program, and names the command that installs it. Knows nothing of VS Code.

import * as path from "node:path";

/** What is known when the program is looked for. Paths are absolute, except in `setting`. */
export interface Surroundings {
  /** The setting `fimble.path`: empty, a program, or the folder of an environment. */
  setting: string;
  /** The folders of the workspace. */
  roots: readonly string[];
  /** The Python program of the environment selected in the Python extension. */
  python?: string | undefined;
  /** The variable PATH. */
  searchPath: string;
  home: string;
  windows: boolean;
  isFile: (file: string) => boolean;
}

export type Location =
  | { found: true; command: string; from: "setting" | "workspace" | "Python extension" | "PATH" }
  | { found: false; message: string };

// There are only the platform's own rules on a user's machine; tests look at both.
function rules(windows: boolean): path.PlatformPath {
  return windows ? path.win32 : path.posix;
}

function executable(windows: boolean): string {
  return windows ? "fimble.exe" : "fimble";
}

function scripts(windows: boolean): string {
  return windows ? "Scripts" : "bin";
}

/** The setting as a path: `~` and `${workspaceFolder}` replaced, relative paths from the first folder. */
export function expand(setting: string, around: Pick<Surroundings, "roots" | "home" | "windows">): string {
  const { resolve } = rules(around.windows);
  const root = around.roots[0] ?? around.home;
  const replaced = setting.replaceAll("${workspaceFolder}", root).replace(/^~(?=$|[\\/])/, around.home);
  return resolve(root, replaced);
}

/**
 * Where the server is: the setting; the workspace's `.venv` or `venv`; the environment selected in the Python
 * extension; PATH; `~/.local/bin`, which a window started from the desktop may lack in its PATH.
 *
 * A setting that names nothing is an error, not a reason to look on: another server than the one the user
 * named would be a surprise.
 */
export function locate(around: Surroundings): Location {
  const { join, dirname } = rules(around.windows);
  const name = executable(around.windows);
  if (around.setting.trim()) {
    const named = expand(around.setting.trim(), around);
    const inside = join(named, scripts(around.windows), name);
    const command = [named, inside].find(around.isFile);
    if (command !== undefined) return { found: true, command, from: "setting" };
    return { found: false, message: `The setting fimble.path names ${named}, which is no program.` };
  }
  for (const root of around.roots) {
    for (const environment of [".venv", "venv"]) {
      const command = join(root, environment, scripts(around.windows), name);
      if (around.isFile(command)) return { found: true, command, from: "workspace" };
    }
  }
  if (around.python !== undefined) {
    const command = join(dirname(around.python), name);
    if (around.isFile(command)) return { found: true, command, from: "Python extension" };
  }
  const folders = around.searchPath.split(around.windows ? ";" : ":").filter((folder) => folder !== "");
  for (const folder of [...folders, join(around.home, ".local", "bin")]) {
    const command = join(folder, name);
    if (around.isFile(command)) return { found: true, command, from: "PATH" };
  }
  return { found: false, message: "The server is not installed, or is in none of the places that are looked at." };
}

/**
 * Where fimble is installed from, of what there is: the setting `fimble.installFrom`, or a folder of the workspace
 * that is a checkout of fimble. Undefined where there is neither: there is no release to fall back on.
 */
export function installSource(setting: string, around: Surroundings): string | undefined {
  if (setting.trim()) return setting.trim();
  return around.roots.find((root) => sourceProblem(root, around) === undefined);
}

/** What is wrong with a source, which is a folder with a checkout, a file that pip takes, or a URL. */
export function sourceProblem(source: string, around: Surroundings): string | undefined {
  if (isUrl(source)) return undefined;
  const { join } = rules(around.windows);
  const named = expand(source, around);
  const isCheckout = around.isFile(join(named, "pyproject.toml")) && around.isFile(join(named, "lsp_server", "cli.py"));
  if (isCheckout || /\.(whl|tar\.gz|zip)$/.test(named) && around.isFile(named)) return undefined;
  return `${named} is neither a checkout of fimble nor a file that pip installs.`;
}

function isUrl(source: string): boolean {
  return /^(git\+)?(https?|ssh|file):\/\//.test(source);
}

/**
 * The command that installs fimble from `source`: into the environment the user works in, if there is one, else as a tool
 * of its own. The server then says how to get a model.
 */
export function installCommand(source: string, around: Surroundings): string {
  const { join } = rules(around.windows);
  const suffix = around.windows ? ".exe" : "";
  const what = quoted(`fimble @ ${isUrl(source) ? source : fileUrl(expand(source, around))}`, around.windows);
  const inRoots = around.roots
    .flatMap((root) => [".venv", "venv"].map((name) => join(root, name, scripts(around.windows), `python${suffix}`)))
    .find(around.isFile);
  const python = inRoots ?? around.python;
  if (python !== undefined) return `${program(python, around.windows)} -m pip install ${what}`;
  const folders = around.searchPath.split(around.windows ? ";" : ":");
  const has = (tool: string): boolean => folders.some((folder) => around.isFile(join(folder, tool + suffix)));
  if (has("uv")) return `uv tool install ${what}`;
  if (has("pipx")) return `pipx install ${what}`;
  return `${around.windows ? "py" : "python3"} -m pip install --user ${what}`;
}

/** The URL of a file or folder on this machine, whose path is absolute. */
function fileUrl(file: string): string {
  const path = file.replaceAll("\\", "/");
  return `file://${path.startsWith("/") ? "" : "/"}${path.split("/").map(escaped).join("/")}`;
}

function escaped(part: string): string {
  return encodeURIComponent(part).replaceAll("%3A", ":").replaceAll("'", "%27");
}

function quoted(word: string, windows: boolean): string {
  if (/^[\w@%+=:,./\\-]+$/.test(word)) return word;
  return windows ? `"${word}"` : `'${word.replaceAll("'", "'\\''")}'`;
}

function program(file: string, windows: boolean): string {
  const word = quoted(file, windows);
  // PowerShell, the default terminal on Windows, runs a quoted path only after an ampersand.
  return windows && word !== file ? `& ${word}` : word;
}
