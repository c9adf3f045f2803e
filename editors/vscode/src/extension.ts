// The extension's start: puts the parts together.

import * as vscode from "vscode";
import { loading, stopwatch } from "./clock.ts";
import { explanationsAsPreview, offersActions } from "./actions.ts";
import { Commands } from "./commands.ts";
import { NextEdits } from "./nextEdits.ts";
import { watchPython } from "./python.ts";
import { isServed, Session } from "./session.ts";
import { Statistics } from "./statistics.ts";
import { languageIsOff } from "./status.ts";
import { situation, StatusBar } from "./statusBar.ts";

// VS Code does other things between the loading and the activation, which are not counted.
const loaded = loading();

let session: Session | undefined;

export function activate(context: vscode.ExtensionContext): void {
  const activating = stopwatch();
  const output = vscode.window.createOutputChannel("fimble", { log: true });
  const { contributes } = context.extension.packageJSON as {
    contributes: { commands: { command: string }[]; configuration: { properties: Record<string, unknown> } };
  };
  const here = new Session(output, Object.keys(contributes.configuration.properties), explanationsAsPreview);
  session = here;
  const bar = new StatusBar(here);
  const nextEdits = new NextEdits(here, () => {
    const now = situation(here);
    return now.enabled && !languageIsOff(now);
  });
  const statistics = new Statistics(here);
  const commands = new Commands(here, output, nextEdits, statistics);

  /** A server is started when there is something to serve; a missing one is looked for anew at each chance. */
  const startIfNeeded = (): void => {
    const wanted = here.server.kind === "idle" || here.server.kind === "missing";
    if (wanted && vscode.workspace.textDocuments.some(isServed)) void here.start();
  };
  const changed = (): void => {
    bar.update();
    void vscode.commands.executeCommand("setContext", "fimble.hasActions", offersActions(here.running));
    if (here.server.kind === "missing") void commands.offerInstall(here.server.message);
  };

  context.subscriptions.push(
    output,
    here,
    bar,
    nextEdits,
    statistics,
    ...commands.register(contributes.commands.map(({ command }) => command)),
    here.onDidChange(changed),
    vscode.workspace.onDidOpenTextDocument(startIfNeeded),
    vscode.window.onDidChangeActiveTextEditor(() => {
      startIfNeeded();
      bar.update();
    }),
    vscode.window.onDidChangeWindowState(({ focused }) => {
      if (focused && here.server.kind === "missing") startIfNeeded();
    }),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration("fimble.path")) void here.restart();
      if (event.affectsConfiguration("fimble") || event.affectsConfiguration("editor.inlineSuggest")) {
        bar.update();
        here.refreshSoon();
      }
    }),
  );
  startIfNeeded();
  const [wall, cpu] = activating().map((ms, index) => ms + (loaded[index] ?? 0));
  output.info(`activated in ${wall?.toFixed(1)} ms, ${cpu?.toFixed(1)} ms of processor time`);
  void watchPython(() => {
    if (here.server.kind === "missing") startIfNeeded();
  }, context.subscriptions);
}

export async function deactivate(): Promise<void> {
  await session?.stop();
}
