// Next edits in the editors: asks the server for them, draws the one that is proposed, goes there, makes or rejects it.

import * as vscode from "vscode";
import { arrow, NextEditPainter, type Hint } from "./nextEditPainter.ts";
import { isAt, type NextEdit, Proposals, reason, takesTab, whereabouts } from "./nextEdit.ts";
import { cursorPlace, isServed, type Session } from "./session.ts";

const METHOD = "textDocument/copilotInlineEdit";
const SHOWN = "textDocument/didShowInlineEdit";
const ACCEPTED = "fimble.acceptNextEdit";
const REJECTED = "fimble.rejectNextEdit";
const AUTOMATIC = 2;
/** How long after a change the server is asked, which then waits for a pause in the typing. The change is told to the
 *  server by another listener to the same event, which may come after this one; and keys that come together ask once. */
const ASK_MS = 30;

export class NextEdits implements vscode.Disposable {
  private readonly proposals = new Proposals(
    (uri) => vscode.workspace.textDocuments.find((document) => document.uri.toString() === uri)?.version,
  );
  private readonly painter = new NextEditPainter();
  private readonly bar = vscode.window.createStatusBarItem("fimble.nextEdit", vscode.StatusBarAlignment.Right, 99);
  private readonly subscriptions: vscode.Disposable[];
  private timer: NodeJS.Timeout | undefined;
  private isDrawn = false;

  /** wanted: whether the user wants suggestions in the document in front. */
  constructor(
    private readonly session: Session,
    private readonly wanted: () => boolean,
  ) {
    this.bar.name = "fimble: next edit";
    this.bar.command = "fimble.vscode.nextEdit.accept";
    const redraw = (): void => this.draw();
    this.subscriptions = [
      this.painter,
      this.bar,
      session.onDidChange(() => {
        if (session.running === undefined) this.clear();
      }),
      session.onDidComplete((place) => {
        this.proposals.completing(place, cursorPlace());
        this.draw();
      }),
      vscode.workspace.onDidChangeTextDocument(({ document, contentChanges }) => {
        if (contentChanges.length > 0 && isServed(document)) this.changed(document);
      }),
      vscode.workspace.onDidCloseTextDocument(redraw),
      vscode.window.onDidChangeTextEditorSelection(() => {
        this.completionMayBeGone(false);
        this.draw();
      }),
      vscode.window.onDidChangeTextEditorVisibleRanges(redraw),
      vscode.window.onDidChangeActiveTextEditor(redraw),
      vscode.window.onDidChangeVisibleTextEditors(redraw),
    ];
  }

  /** Goes to the edit that is shown; where the cursor is there already, makes it. key: what the key does without one. */
  async accept(key?: string): Promise<void> {
    const edit = this.proposals.current;
    const editor = vscode.window.activeTextEditor;
    if (edit === undefined) {
      if (key === "tab") await vscode.commands.executeCommand("tab");
    } else if (editor !== undefined && isAt(edit, editor.document.uri.toString(), editor.selection.active.line)) {
      await this.make(edit, editor);
    } else {
      await this.goTo(edit);
    }
  }

  /** Hides the edit that is shown, and has the server not propose it again. */
  async reject(): Promise<void> {
    const edit = this.proposals.current;
    this.clear();
    if (edit !== undefined) await this.execute(REJECTED, edit);
  }

  /** The user has hidden the completion that was on the screen. */
  completionDismissed(): void {
    this.completionMayBeGone(true);
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.clear();
    for (const each of this.subscriptions) each.dispose();
  }

  private clear(): void {
    this.proposals.clear();
    this.draw();
  }

  private changed(document: vscode.TextDocument): void {
    this.clear();
    if (document === vscode.window.activeTextEditor?.document) this.askSoon();
  }

  /** A completion on the screen has kept an edit from being shown: it is asked for again when that has gone. */
  private completionMayBeGone(dismissed: boolean): void {
    if (this.proposals.completionGone(cursorPlace(), dismissed) && this.proposals.current === undefined) this.askSoon();
  }

  private askSoon(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.ask(), ASK_MS);
  }

  private async ask(): Promise<void> {
    const client = this.session.running;
    const editor = vscode.window.activeTextEditor;
    const can = client?.initializeResult?.capabilities.executeCommandProvider?.commands.includes(ACCEPTED) ?? false;
    if (client === undefined || !can || editor === undefined || !isServed(editor.document) || !this.wanted()) return;
    const turn = this.proposals.ask();
    const converter = client.code2ProtocolConverter;
    const params = {
      textDocument: converter.asVersionedTextDocumentIdentifier(editor.document),
      position: converter.asPosition(editor.selection.active),
      context: { triggerKind: AUTOMATIC },
      files: true,
      completion: this.proposals.isCompleting(cursorPlace()),
    };
    let edits: NextEdit[];
    try {
      edits = (await client.sendRequest<{ edits: NextEdit[] }>(METHOD, params)).edits;
    } catch {
      return; // a server that ends, or one that has not seen the newest text
    }
    const edit = this.proposals.answered(turn, edits.map(normal), cursorPlace());
    if (edit === undefined) return;
    this.draw();
    void client.sendNotification(SHOWN, { item: { command: edit.command } }).catch(() => undefined);
  }

  private async goTo(edit: NextEdit): Promise<void> {
    const { start } = edit.range;
    const at = new vscode.Range(start.line, start.character, start.line, start.character);
    const uri = vscode.Uri.parse(edit.textDocument.uri);
    const isIt = (editor: vscode.TextEditor): boolean => editor.document.uri.toString() === edit.textDocument.uri;
    const active = vscode.window.activeTextEditor;
    const there = active !== undefined && isIt(active) ? active : vscode.window.visibleTextEditors.find(isIt);
    const column = there?.viewColumn ?? active?.viewColumn ?? vscode.ViewColumn.Active;
    await vscode.window.showTextDocument(uri, { selection: at, viewColumn: column });
  }

  private async make(edit: NextEdit, editor: vscode.TextEditor): Promise<void> {
    const range = spanned(edit);
    this.clear();
    // It fails, and changes nothing, if the text on the screen is already a newer one than this process knows.
    const made = editor.document.validateRange(range).isEqual(range) && (await editor.edit((b) => b.replace(range, edit.text)));
    if (made) await this.execute(edit.command.command, edit);
  }

  private async execute(command: string, edit: NextEdit): Promise<void> {
    const params = { command, arguments: edit.command.arguments ?? [] };
    await this.session.running?.sendRequest("workspace/executeCommand", params).then(undefined, () => undefined);
  }

  /** Draws what is shown as things are now, and sets what the keys depend on. */
  private draw(): void {
    const edit = this.proposals.current;
    if (edit === undefined && !this.isDrawn) return;
    this.isDrawn = edit !== undefined;
    const editor = vscode.window.activeTextEditor;
    const hint = edit === undefined || editor === undefined ? undefined : hintFor(edit, editor);
    this.painter.paint(edit, hint);
    if (edit === undefined || hint === undefined || (hint.isSeen && hint.takesTab)) {
      this.bar.hide();
    } else {
      this.bar.text = `$(${arrow(hint)}) next edit: ${hint.where}`;
      this.bar.tooltip = reason(edit);
      this.bar.show();
    }
    void vscode.commands.executeCommand("setContext", "fimble.hasNextEdit", edit !== undefined);
    void vscode.commands.executeCommand("setContext", "fimble.nextEditTakesTab", hint?.takesTab ?? false);
  }
}

/** The edit with its document's name as VS Code writes it. */
function normal(edit: NextEdit): NextEdit {
  const uri = vscode.Uri.parse(edit.textDocument.uri).toString();
  return { ...edit, textDocument: { ...edit.textDocument, uri } };
}

function spanned(edit: NextEdit): vscode.Range {
  const { start, end } = edit.range;
  return new vscode.Range(start.line, start.character, end.line, end.character);
}

function hintFor(edit: NextEdit, editor: vscode.TextEditor): Hint {
  const uri = editor.document.uri.toString();
  const cursor = editor.selection.active;
  const range = spanned(edit);
  const isHere = uri === edit.textDocument.uri;
  return {
    editor,
    isAt: isAt(edit, uri, cursor.line),
    isHere,
    isSeen: isHere && editor.visibleRanges.some((each) => each.contains(range.start)),
    isBelow: isHere && range.start.line > cursor.line,
    takesTab: takesTab(edit, uri, cursor.line, editor.document.lineAt(cursor.line).text),
    where: whereabouts(edit, uri),
  };
}
