// The commands: the menu of the status bar, on and off, why nothing appeared, installing.

import * as vscode from "vscode";
import { chooseAction, editByInstruction, offersActions, runAction } from "./actions.ts";
import { installCommand, installSource, sourceProblem } from "./locate.ts";
import type { NextEdits } from "./nextEdits.ts";
import type { Session } from "./session.ts";
import { toggled } from "./settings.ts";
import type { Statistics } from "./statistics.ts";
import { headline, languageIsOff, type Remedy, why } from "./status.ts";
import { situation } from "./statusBar.ts";

/** Commands of package.json that begin so carry out the action with the identifier that follows. */
const ACTION_PREFIX = "fimble.vscode.action.";
const INSTALL = "Install…";
const SAID_MS = 5000;
const SET_PATH = "Set Path";

/** Sets a setting where it is set already: in the workspace, else for the user. */
async function update(section: string, name: string, value: unknown): Promise<void> {
  const configuration = vscode.workspace.getConfiguration(section);
  const inWorkspace = configuration.inspect(name)?.workspaceValue !== undefined;
  const target = inWorkspace ? vscode.ConfigurationTarget.Workspace : vscode.ConfigurationTarget.Global;
  await configuration.update(name, value, target);
}

export class Commands {
  private offered = "";

  constructor(
    private readonly session: Session,
    private readonly output: vscode.LogOutputChannel,
    private readonly nextEdits: NextEdits,
    private readonly statistics: Statistics,
  ) {}

  /** declared: the commands in package.json. */
  register(declared: readonly string[]): vscode.Disposable[] {
    const commands: Record<string, (argument?: string) => unknown> = {
      menu: () => this.menu(),
      toggle: () => this.toggle(),
      toggleLanguage: () => this.toggleLanguage(),
      edit: () => editByInstruction(this.session),
      why: () => this.why(),
      dismiss: async () => {
        await this.session.dismiss();
        this.nextEdits.completionDismissed();
      },
      "nextEdit.accept": (key) => this.nextEdits.accept(key),
      "nextEdit.reject": () => this.nextEdits.reject(),
      snooze: () => this.execute("fimble.snooze", {}),
      snoozeFile: () => this.execute("fimble.snooze", { uri: situation(this.session).front?.uri ?? "" }),
      wake: () => this.execute("fimble.wake", {}),
      install: () => this.install(),
      statistics: () => this.statistics.show(),
      restart: () => this.session.restart(),
      showOutput: () => this.output.show(),
      openSettings: () => vscode.commands.executeCommand("workbench.action.openSettings", "@ext:fimble.fimble"),
    };
    const actions = declared.filter((name) => name.startsWith(ACTION_PREFIX));
    return [
      ...Object.entries(commands).map(([name, run]) => vscode.commands.registerCommand(`fimble.vscode.${name}`, run)),
      ...actions.map((name) =>
        vscode.commands.registerCommand(name, () => runAction(this.session, name.slice(ACTION_PREFIX.length))),
      ),
      // For the user's own actions, by a key binding with the action's identifier as its argument.
      vscode.commands.registerCommand("fimble.vscode.action", (action: unknown) =>
        typeof action === "string" ? runAction(this.session, action) : chooseAction(this.session),
      ),
    ];
  }

  /** Offers to install a server that is missing, once for each reason it is missing for. */
  async offerInstall(message: string): Promise<void> {
    if (this.offered === message) return;
    this.offered = message;
    const choice = await vscode.window.showWarningMessage(`fimble: ${message}`, INSTALL, SET_PATH);
    if (choice === INSTALL) await this.install();
    if (choice === SET_PATH) await vscode.commands.executeCommand("workbench.action.openSettings", "fimble.path");
  }

  /** Types the command that installs the server into a terminal. Running it is left to the user. */
  private async install(): Promise<void> {
    const around = await this.session.surroundings();
    const setting = vscode.workspace.getConfiguration("fimble").get("installFrom", "");
    let source = installSource(setting, around);
    const problem = source === undefined ? undefined : sourceProblem(source, around);
    if (source === undefined || problem !== undefined) {
      source = await vscode.window.showInputBox({
        title: "Install fimble",
        prompt: `${problem ?? "There is no release on PyPI yet."} A folder with a checkout, or a URL for pip:`,
        placeHolder: "~/src/fimble or git+https://…",
        value: source ?? "",
        ignoreFocusOut: true,
        validateInput: (text) => (text.trim() ? sourceProblem(text.trim(), around) : undefined),
      });
      if (!source?.trim()) return;
      source = source.trim();
      await update("fimble", "installFrom", source);
    }
    const command = installCommand(source, around);
    const terminal = vscode.window.createTerminal({ name: "Install fimble" });
    terminal.show();
    terminal.sendText(command, false);
  }

  /** Has the server carry out one of its commands, and says what it answers. */
  private async execute(command: string, argument: unknown): Promise<void> {
    const client = this.session.running;
    if (client === undefined) return;
    const said = await client.sendRequest<string>("workspace/executeCommand", { command, arguments: [argument] });
    await vscode.commands.executeCommand("editor.action.inlineSuggest.hide");
    vscode.window.setStatusBarMessage(`fimble: ${said}`, SAID_MS);
  }

  private async toggle(): Promise<void> {
    await update("fimble", "enabled", !situation(this.session).enabled);
  }

  private async toggleLanguage(): Promise<void> {
    const { front, disabledLanguages } = situation(this.session);
    if (front === undefined) return;
    await update("fimble", "disabledLanguages", toggled(disabledLanguages, front.language));
  }

  private async why(): Promise<void> {
    await this.session.refresh();
    const { message, remedy } = why(situation(this.session));
    const remedies: Record<Remedy, [label: string, run: () => unknown]> = {
      install: [INSTALL, () => this.install()],
      restart: ["Restart", () => this.session.restart()],
      turnOn: ["Turn On", () => this.toggle()],
      turnLanguageOn: ["Turn On", () => this.toggleLanguage()],
      ghostText: ["Turn On", () => update("editor", "inlineSuggest.enabled", true)],
    };
    const [label, run] = remedy === undefined ? [undefined, undefined] : remedies[remedy];
    const { server } = this.session;
    const details = "Show Details";
    const last = "Last Ten Requests";
    const choices = [...(label === undefined ? [] : [label]), ...(server.kind === "running" ? [last] : []), details];
    const choice = await vscode.window.showInformationMessage(`fimble: ${message}`, ...choices);
    if (choice === undefined) return;
    if (choice === label) await run?.();
    // The server's own command, which opens what it tells as an explanation is opened.
    if (choice === last) await vscode.commands.executeCommand("fimble.why");
    if (choice === details) {
      const status = server.kind === "running" ? server.status : server;
      this.output.info(`the state of the server:\n${JSON.stringify(status, undefined, 2)}`);
      this.output.show();
    }
  }

  private async menu(): Promise<void> {
    await this.session.refresh();
    const now = situation(this.session);
    const missing = now.server.kind === "missing";
    const languageName = now.front?.languageName ?? "";
    const separator = { label: "", kind: vscode.QuickPickItemKind.Separator, command: "" };
    const entry = (icon: string, label: string, command: string): vscode.QuickPickItem & { command: string } => ({
      label: `$(${icon}) ${label}`,
      command: `fimble.vscode.${command}`,
    });
    const items = [
      ...(missing ? [entry("cloud-download", "Install fimble…", "install"), separator] : []),
      now.enabled
        ? entry("circle-slash", "Turn Completions Off", "toggle")
        : entry("sparkle", "Turn Completions On", "toggle"),
      ...(now.front === undefined
        ? []
        : [
            languageIsOff(now)
              ? entry("sparkle", `Turn Completions On for ${languageName}`, "toggleLanguage")
              : entry("circle-slash", `Turn Completions Off for ${languageName}`, "toggleLanguage"),
          ]),
      ...(now.server.kind !== "running"
        ? []
        : [
            now.server.status?.state.state === "off" && now.enabled
              ? entry("bell", "Wake", "wake")
              : entry("bell-slash", "Snooze", "snooze"),
            ...(now.front === undefined ? [] : [entry("bell-slash", "Snooze in This File", "snoozeFile")]),
          ]),
      entry("question", "Show Why Nothing Appeared", "why"),
      ...(offersActions(this.session.running)
        ? [
            separator,
            entry("lightbulb", "Code Actions…", "action"),
            entry("edit", "Edit by Instruction…", "edit"),
          ]
        : []),
      separator,
      ...(missing ? [] : [entry("graph", "Statistics", "statistics")]),
      entry("settings-gear", "Open Settings", "openSettings"),
      entry("output", "Show Output", "showOutput"),
      entry("debug-restart", "Restart Server", "restart"),
    ];
    const choice = await vscode.window.showQuickPick(items, { title: "fimble", placeHolder: headline(now) });
    if (choice !== undefined) await vscode.commands.executeCommand(choice.command);
  }
}
