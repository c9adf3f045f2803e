// Which settings the server is told. Knows nothing of VS Code.

/** Settings of the extension itself, under `fimble.`. */
export const CLIENT_SETTINGS: readonly string[] = ["path", "installFrom", "trace.server"];

/** A setting's values, as `WorkspaceConfiguration.inspect` gives them. */
export interface Inspected {
  globalValue?: unknown;
  workspaceValue?: unknown;
}

/**
 * The server's settings that the user has set. Defaults are left out: the server has the same ones, and they
 * would outrank what a `fimble.toml` says.
 *
 * declared: the names in package.json, with `fimble.`.
 */
export function explicitSettings(
  declared: readonly string[],
  inspect: (name: string) => Inspected | undefined,
): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const name of declared.map((full) => full.replace(/^fimble\./, ""))) {
    if (CLIENT_SETTINGS.includes(name)) continue;
    const found = inspect(name);
    const value = found?.workspaceValue ?? found?.globalValue;
    if (value !== undefined) values[name] = value;
  }
  return values;
}

/** The list with `language` in it if it was not, and without it if it was. */
export function toggled(languages: readonly string[], language: string): string[] {
  return languages.includes(language) ? languages.filter((other) => other !== language) : [...languages, language];
}
