// “fimble: Statistics”: the page that `fimble stats --html` writes, in a tab of the editor.

import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import * as vscode from "vscode";
import { locate } from "./locate.ts";
import type { Session } from "./session.ts";
import { themed } from "./themed.ts";

const PATIENCE_MS = 30_000;
const TITLE = "fimble: statistics";

export class Statistics implements vscode.Disposable {
  private panel: vscode.WebviewPanel | undefined;

  constructor(private readonly session: Session) {}

  /** Shows the page as it is now, in the tab that has it already if there is one. */
  async show(): Promise<void> {
    const location = locate(await this.session.surroundings());
    if (!location.found) {
      void vscode.window.showWarningMessage(`fimble: ${location.message}`);
      return;
    }
    let page: string;
    try {
      page = await written(location.command);
    } catch (error) {
      void vscode.window.showErrorMessage(`fimble: there are no statistics: ${reasonOf(error)}`);
      return;
    }
    if (this.panel === undefined) {
      const options = { enableScripts: false, enableForms: false, localResourceRoots: [] };
      this.panel = vscode.window.createWebviewPanel("fimble.statistics", TITLE, vscode.ViewColumn.Active, options);
      this.panel.onDidDispose(() => {
        this.panel = undefined;
      });
    }
    this.panel.webview.html = themed(page);
    this.panel.reveal();
  }

  dispose(): void {
    this.panel?.dispose();
  }
}

/** The page, which the program writes into a folder that only this user can read, and that is removed again. */
async function written(program: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "fimble-"));
  try {
    const file = join(folder, "statistics.html");
    await promisify(execFile)(program, ["stats", "--html", file], { timeout: PATIENCE_MS });
    return await readFile(file, "utf8");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** What the program said last, if it failed, or why it did not start. */
function reasonOf(error: unknown): string {
  const stderr = (error as { stderr?: string }).stderr?.trim().split("\n").at(-1);
  return stderr || (error instanceof Error ? error.message : String(error));
}
