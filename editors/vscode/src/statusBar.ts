// The item in the status bar, and the situation it tells of.

import * as vscode from "vscode";
import { isServed, type Session } from "./session.ts";
import { explicitSettings } from "./settings.ts";
import { bar, details, type Front, type Situation } from "./status.ts";

/** The document in front, if it is one that is served. */
function front(): Front | undefined {
  const document = vscode.window.activeTextEditor?.document;
  if (document === undefined || !isServed(document)) return undefined;
  const language = document.languageId;
  return { uri: document.uri.toString(), language, languageName: languageName(language) };
}

/** The language's name as VS Code shows it, by the extension that declares it. */
function languageName(id: string): string {
  for (const { packageJSON } of vscode.extensions.all) {
    const { contributes } = packageJSON as { contributes?: { languages?: { id: string; aliases?: string[] }[] } };
    const name = contributes?.languages?.find((language) => language.id === id)?.aliases?.[0];
    if (name !== undefined) return name;
  }
  return id;
}

/** Everything that decides what is shown and said. */
export function situation(session: Session): Situation {
  const configuration = vscode.workspace.getConfiguration("fimble");
  // What is set here counts at once, before the server has said so; what is not may be in a `fimble.toml`.
  const { enabled, disabledLanguages } = explicitSettings(["enabled", "disabledLanguages"], (name) =>
    configuration.inspect(name),
  ) as { enabled?: boolean; disabledLanguages?: string[] };
  const inForce = session.server.kind === "running" ? session.server.status?.settings : undefined;
  const editor = vscode.window.activeTextEditor;
  return {
    server: session.server,
    enabled: enabled ?? inForce?.enabled ?? true,
    disabledLanguages: disabledLanguages ?? inForce?.disabled_languages ?? [],
    ghostText: vscode.workspace.getConfiguration("editor.inlineSuggest", editor?.document).get("enabled", true),
    front: front(),
  };
}

export class StatusBar implements vscode.Disposable {
  private readonly item = vscode.window.createStatusBarItem("fimble", vscode.StatusBarAlignment.Right, 100);

  constructor(private readonly session: Session) {
    this.item.name = "fimble";
    this.item.command = "fimble.vscode.menu";
    this.update();
    this.item.show();
  }

  update(): void {
    const now = situation(this.session);
    const { text, severity } = bar(now);
    this.item.text = text;
    this.item.backgroundColor =
      severity === "none" ? undefined : new vscode.ThemeColor(`statusBarItem.${severity}Background`);
    const tooltip = new vscode.MarkdownString("**fimble**\n\n");
    for (const [label, value] of details(now)) {
      tooltip.appendMarkdown(`${label}: `).appendText(value).appendMarkdown("  \n");
    }
    this.item.tooltip = tooltip;
    this.item.accessibilityInformation = { label: `fimble, ${details(now)[0]?.[1] ?? ""}` };
  }

  dispose(): void {
    this.item.dispose();
  }
}
