// The server of this window: finding, starting, restarting and asking it.
//
// There is one for the window, whatever number of folders it has: each server holds its model in memory, and the
// folders of one window are one piece of work.

import { homedir } from "node:os";
import { statSync } from "node:fs";
import { createInterface } from "node:readline";
import * as vscode from "vscode";
import type { LanguageClient, LanguageClientOptions, Middleware } from "vscode-languageclient/node";
import { AcceptedParts, type Offered } from "./acceptedParts.ts";
import { CrashPolicy } from "./crashes.ts";
import { type Surroundings, locate } from "./locate.ts";
import { selectedPython } from "./python.ts";
import { Growth, type Grown } from "./growth.ts";
import { isSame, type Place } from "./place.ts";
import { explicitSettings } from "./settings.ts";
import type { Server, ServerStatus, Told } from "./status.ts";

export const SERVED: readonly string[] = ["file", "untitled", "vscode-notebook-cell"];

/** The server's command by which it is told that a suggestion was accepted. */
const ACCEPTED = "fimble.accepted";
const STATUS_MS = 1000;
const LOADING_MS = 400;
const STOP_MS = 3000;
const LAST_WORDS_MS = 1000;

export function isServed(document: vscode.TextDocument): boolean {
  return SERVED.includes(document.uri.scheme);
}

export class Session implements vscode.Disposable {
  server: Server = { kind: "idle" };
  private client: LanguageClient | undefined;
  private ready = false;
  private readonly crashes = new CrashPolicy();
  private readonly changed = new vscode.EventEmitter<void>();
  readonly onDidChange = this.changed.event;
  private readonly completed = new vscode.EventEmitter<Place>();
  /** Completions are offered at a place. */
  readonly onDidComplete = this.completed.event;
  /** Starting and stopping happen one after the other. */
  private turn: Promise<void> = Promise.resolve();
  private lastWords = "";
  private stderrEnded: Promise<unknown> = Promise.resolve();
  private wasReady = false;
  private asking = false;
  private timer: NodeJS.Timeout | undefined;
  private readonly growth = new Growth();
  private asked: Promise<void> = Promise.resolve();
  private readonly parts = new AcceptedParts();
  private readonly subscriptions: readonly vscode.Disposable[];

  /** middleware: what is to be done to the protocol beside the session's own. */
  constructor(
    private readonly output: vscode.LogOutputChannel,
    private readonly declaredSettings: readonly string[],
    private readonly middleware: Middleware,
  ) {
    this.subscriptions = [
      vscode.workspace.onDidChangeTextDocument((event) => this.textChanged(event)),
      vscode.window.onDidChangeTextEditorSelection((event) => this.cursorMoved(event)),
    ];
  }

  /** The running client, to send requests with. */
  get running(): LanguageClient | undefined {
    return this.ready ? this.client : undefined;
  }

  /** Starts the server if it is not there. Does not throw: what fails is in `server` and in the output. */
  start(): Promise<void> {
    // One that has ended for good is not started by the next document that is opened, and would be told of once more.
    return this.queue(async () => {
      if (this.server.kind !== "stopped") await this.begin();
    });
  }

  restart(): Promise<void> {
    return this.queue(async () => {
      await this.end();
      await this.begin();
    });
  }

  stop(): Promise<void> {
    return this.queue(() => this.end());
  }

  dispose(): void {
    clearTimeout(this.timer);
    for (const each of this.subscriptions) each.dispose();
    this.changed.dispose();
    this.completed.dispose();
  }

  /** Asks for the state anew, at most once a second. */
  refreshSoon(delay = STATUS_MS): void {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      void this.refresh();
    }, delay);
  }

  /** The server's state, asked for now. */
  async refresh(): Promise<void> {
    const client = this.running;
    if (client === undefined || this.asking) return;
    this.asking = true;
    try {
      const status = await client.sendRequest<ServerStatus>("fimble/status", {});
      if (this.running !== client) return;
      this.set({ kind: "running", status });
      if (status.model.state === "loading" || status.model.state === "none") this.refreshSoon(LOADING_MS);
    } catch (error) {
      this.output.debug(`no status: ${String(error)}`);
    } finally {
      this.asking = false;
    }
  }

  /** Hides what is shown; it does not come back when there is more of it. */
  async dismiss(): Promise<void> {
    this.growth.dismissed(cursorPlace());
    await vscode.commands.executeCommand("editor.action.inlineSuggest.hide");
  }

  /** What there is to find the server by. */
  async surroundings(): Promise<Surroundings> {
    return {
      setting: vscode.workspace.getConfiguration("fimble").get("path", ""),
      roots: (vscode.workspace.workspaceFolders ?? [])
        .filter((folder) => folder.uri.scheme === "file")
        .map((folder) => folder.uri.fsPath),
      python: await selectedPython(this.output),
      searchPath: process.env["PATH"] ?? "",
      home: homedir(),
      windows: process.platform === "win32",
      isFile: (file) => statSync(file, { throwIfNoEntry: false })?.isFile() ?? false,
    };
  }

  private queue(task: () => Promise<void>): Promise<void> {
    this.turn = this.turn.then(task).catch((error: unknown) => this.output.error(String(error)));
    return this.turn;
  }

  private set(server: Server): void {
    this.server = server;
    this.changed.fire();
  }

  private async begin(): Promise<void> {
    if (this.client !== undefined) return;
    const location = locate(await this.surroundings());
    if (!location.found) {
      this.output.warn(location.message);
      this.set({ kind: "missing", message: location.message });
      return;
    }
    this.output.info(`starts ${location.command} (found by: ${location.from})`);
    this.set({ kind: "starting" });
    this.wasReady = false;
    this.lastWords = "";
    // Imported only now, since it takes longer to load than all the rest of the extension.
    const { Client, State } = await import("./client.js");
    const run = { command: location.command, args: ["serve"] };
    const client = new Client("fimble", "fimble", run, await this.options());
    this.client = client;
    client.registerFeature({
      fillClientCapabilities: (capabilities) => {
        const fimble = { notifications: ["state", "suggestionGrew"] };
        capabilities.experimental = { ...(capabilities.experimental as object | undefined), fimble };
      },
      // After those of the protocol, which have made the documents known.
      initialize: () => this.catchUp(),
      getState: () => ({ kind: "static" }),
      clear: () => undefined,
    });
    client.onNotification("fimble/state", (told: Told) => this.told(told));
    client.onNotification("fimble/suggestionGrew", (grown: Grown) => this.grew(grown));
    client.onDidChangeState(({ newState }) => {
      this.ready = newState === State.Running;
      if (!this.ready) return;
      this.wasReady = true;
      this.set({ kind: "running" });
      void this.refresh();
    });
    try {
      await client.start();
    } catch (error) {
      this.output.debug(message(error));
      this.died(`${location.command} does not start.`);
    }
  }

  private async end(): Promise<void> {
    const client = this.client;
    this.client = undefined;
    this.ready = false;
    if (client === undefined) return;
    try {
      await client.stop(STOP_MS);
    } catch (error) {
      this.output.debug(`the server did not stop in order: ${message(error)}`);
    }
    await client.dispose(STOP_MS).catch(() => undefined);
    this.set({ kind: "idle" });
  }

  private async options(): Promise<LanguageClientOptions> {
    const { CloseAction, ErrorAction, RevealOutputChannelOn } = await import("./client.js");
    return {
      documentSelector: SERVED.map((scheme) => ({ scheme })),
      outputChannel: this.output,
      revealOutputChannelOn: RevealOutputChannelOn.Never,
      initializationFailedHandler: () => false,
      stdioOptions: {
        stdout: () => undefined,
        stderr: (input) => {
          this.stderrEnded = new Promise((resolve) => input.once("close", resolve));
          createInterface(input).on("line", (line) => {
            if (line.trim()) this.lastWords = line.trim();
            this.output.info(line);
          });
        },
      },
      errorHandler: {
        // A broken pipe is the sign of an end that `closed` sees too.
        error: () => ({ action: ErrorAction.Continue, handled: true }),
        closed: () => {
          if (this.crashes.restarts(this.wasReady, Date.now())) {
            this.set({ kind: "starting" });
            return { action: CloseAction.Restart, handled: true };
          }
          this.died(this.wasReady ? "The server ended five times in three minutes." : "The server does not start.");
          return { action: CloseAction.DoNotRestart, handled: true };
        },
      },
      middleware: {
        ...this.middleware,
        provideInlineCompletionItems: async (document, position, context, token, next) => {
          const at: Place = {
            uri: document.uri.toString(),
            version: document.version,
            line: position.line,
            character: position.character,
          };
          try {
            const triggerKind = this.growth.isAsking
              ? vscode.InlineCompletionTriggerKind.Automatic
              : context.triggerKind;
            const found = await next(document, position, { ...context, triggerKind }, token);
            if (found) this.growth.answered(at); // not if the server has ended
            const items = Array.isArray(found) ? found : (found?.items ?? []);
            if (items.length > 0) this.completed.fire(at);
            if (document.version === at.version) this.parts.offers(offered(document, position, items));
            return found;
          } finally {
            this.refreshSoon();
          }
        },
        workspace: {
          configuration: async (params, token, next) => {
            const answers = await next(params, token);
            if (!Array.isArray(answers)) return answers;
            return params.items.map((item, index) =>
              item.section === "fimble" ? this.settings() : (answers[index] as unknown),
            );
          },
        },
      },
    };
  }

  /** The server does something else now; the numbers beside that are asked for soon. */
  private told(state: Told): void {
    const status = this.server.kind === "running" ? this.server.status : undefined;
    if (status !== undefined) this.set({ kind: "running", status: { ...status, state } });
    this.refreshSoon(LOADING_MS);
  }

  private grew(grown: Grown): void {
    this.ask(() => this.growth.wanted(grown, cursorPlace()));
  }

  /** Asks about what was typed while there was no server, or while it ended, unless the user has switched suggestions off. */
  private catchUp(): void {
    const here = cursorPlace();
    const document = vscode.window.activeTextEditor?.document;
    const wanted = vscode.workspace.getConfiguration("editor", document).get("inlineSuggest.enabled", true);
    if (!this.growth.isMissing(here) || here === undefined || !wanted) return;
    this.ask(() => {
      const now = cursorPlace();
      return now !== undefined && isSame(here, now);
    });
  }

  private textChanged({ document, contentChanges, reason }: vscode.TextDocumentChangeEvent): void {
    if (contentChanges.length === 0) return;
    const uri = document.uri.toString();
    this.growth.typed(uri, document.version);
    const read = (start: number, end: number): string =>
      document.getText(new vscode.Range(document.positionAt(start), document.positionAt(end)));
    this.parts.changed(uri, document.version, reason === undefined ? contentChanges : [], read);
  }

  /** Tells the server of a word or a line that was accepted. */
  private cursorMoved({ textEditor: { document }, kind }: vscode.TextEditorSelectionChangeEvent): void {
    const id = this.parts.moved(document.uri.toString(), document.version, kind !== undefined);
    if (id === undefined) return;
    const params = { command: ACCEPTED, arguments: [id, "part"] };
    void this.running?.sendRequest("workspace/executeCommand", params).then(undefined, () => undefined);
  }

  /** Asks as if a key had been typed, one request after the other. wanted: whether that is still to be done. */
  private ask(wanted: () => boolean): void {
    const asked = async (): Promise<void> => {
      if (!wanted()) return;
      // Else what is on the screen would stay there, in front of what is new, and come back after a word is accepted.
      const hidden = vscode.commands.executeCommand("editor.action.inlineSuggest.hide");
      await vscode.commands.executeCommand("editor.action.inlineSuggest.trigger");
      await hidden;
    };
    this.asked = this.asked.then(() => this.growth.ask(asked)).catch((error: unknown) => this.output.debug(String(error)));
  }

  private settings(): Record<string, unknown> {
    const configuration = vscode.workspace.getConfiguration("fimble");
    return explicitSettings(this.declaredSettings, (name) => configuration.inspect(name));
  }

  /** The server will not be started again by itself: says so, once, however many signs there are of it. */
  private died(what: string): void {
    if (this.client === undefined) return;
    this.client = undefined;
    this.ready = false;
    this.set({ kind: "stopped", message: what });
    const patience = new Promise((resolve) => setTimeout(resolve, LAST_WORDS_MS));
    void Promise.race([this.stderrEnded, patience]).then(() => this.report(what));
  }

  private async report(what: string): Promise<void> {
    const words = this.lastWords ? `${what} Its last words: ${this.lastWords}` : what;
    this.output.error(words);
    if (this.server.kind === "stopped") this.set({ kind: "stopped", message: words });
    const choice = await vscode.window.showErrorMessage(`fimble: ${words}`, "Restart", "Show Output");
    if (choice === "Restart") await this.restart();
    if (choice === "Show Output") this.output.show();
  }
}

/** What the server has suggested at a place, if it has said how to tell it of an acceptance. */
function offered(
  document: vscode.TextDocument,
  position: vscode.Position,
  items: readonly vscode.InlineCompletionItem[],
): Offered | undefined {
  const [first] = items;
  if (first?.command?.command !== ACCEPTED) return undefined;
  const [id] = (first.command.arguments ?? []) as unknown[];
  const start = first.range?.start ?? position;
  const texts = items.map(({ insertText }) => (typeof insertText === "string" ? insertText : insertText.value));
  return { uri: document.uri.toString(), id, from: document.offsetAt(start), texts };
}

/** Where the cursor is in the document in front. */
export function cursorPlace(): Place | undefined {
  const editor = vscode.window.activeTextEditor;
  if (editor === undefined) return undefined;
  const { line, character } = editor.selection.active;
  return { uri: editor.document.uri.toString(), version: editor.document.version, line, character };
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
