// Draws a next edit with decorations: what goes, what comes, what Tab does, and where it is if it cannot be seen.

import * as vscode from "vscode";
import { type NextEdit, picture, type Picture, reason } from "./nextEdit.ts";

/** How an edit lies to the cursor of the editor in front. */
export interface Hint {
  editor: vscode.TextEditor;
  /** Whether the cursor is at it, it is in this document, it can be seen, it is below the cursor. */
  isAt: boolean;
  isHere: boolean;
  isSeen: boolean;
  isBelow: boolean;
  takesTab: boolean;
  where: string;
}

/** The name of the icon that points to the edit. */
export function arrow({ isHere, isBelow }: Hint): string {
  if (!isHere) return "arrow-right";
  return isBelow ? "arrow-down" : "arrow-up";
}

const TURNED = { "arrow-right": 0, "arrow-down": 90, "arrow-up": 270 } as Record<string, number>;
const BLUE = "#3794ff"; // to be seen on light and on dark

function icon(degrees: number): vscode.Uri {
  const shape = `<path d="M3 8h9M8.5 4.5 12 8l-3.5 3.5" fill="none" stroke="${BLUE}" stroke-width="1.5"/>`;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><g transform="rotate(${degrees} 8 8)">${shape}</g></svg>`;
  return vscode.Uri.parse(`data:image/svg+xml;base64,${Buffer.from(svg).toString("base64")}`);
}

const comesColours = {
  color: new vscode.ThemeColor("editor.foreground"),
  backgroundColor: new vscode.ThemeColor("diffEditor.insertedTextBackground"),
};
const saysStyle = {
  color: new vscode.ThemeColor("editorCodeLens.foreground"),
  fontStyle: "italic",
  margin: "0 0 0 3ch",
};
const seamColour = new vscode.ThemeColor("editorGutter.addedBackground");

export class NextEditPainter implements vscode.Disposable {
  private readonly goes = vscode.window.createTextEditorDecorationType({
    backgroundColor: new vscode.ThemeColor("diffEditor.removedTextBackground"),
    textDecoration: "line-through",
    rangeBehavior: vscode.DecorationRangeBehavior.ClosedClosed,
    overviewRulerColor: new vscode.ThemeColor("editorOverviewRuler.deletedForeground"),
  });
  private readonly comes: vscode.TextEditorDecorationType;
  private readonly says: vscode.TextEditorDecorationType;
  private readonly above = seam("2px 0 0 0");
  private readonly below = seam("0 0 2px 0");
  private readonly icons = Object.fromEntries(
    Object.entries(TURNED).map(([name, degrees]) => [
      name,
      vscode.window.createTextEditorDecorationType({ gutterIconPath: icon(degrees), gutterIconSize: "contain" }),
    ]),
  );

  constructor() {
    // What two types draw at one place, VS Code draws in the order of the types' keys: what comes first, then the hint.
    const types = [1, 2].map(() =>
      vscode.window.createTextEditorDecorationType({ rangeBehavior: vscode.DecorationRangeBehavior.ClosedClosed }),
    );
    [this.comes, this.says] = types.sort((one, other) => (one.key < other.key ? -1 : 1)) as [
      vscode.TextEditorDecorationType,
      vscode.TextEditorDecorationType,
    ];
  }

  /** Draws the edit in every editor that shows its document, and the hint; undefined: removes what is drawn. */
  paint(edit: NextEdit | undefined, hint: Hint | undefined): void {
    for (const editor of vscode.window.visibleTextEditors) {
      const { document } = editor;
      const isIt = edit !== undefined && document.uri.toString() === edit.textDocument.uri;
      this.paintEdit(editor, edit, isIt ? pictured(edit, editor) : undefined);
      this.paintHint(editor, edit, hint?.editor === editor ? hint : undefined, isIt);
    }
  }

  dispose(): void {
    for (const type of [this.goes, this.comes, this.above, this.below, this.says, ...Object.values(this.icons)]) {
      type.dispose();
    }
  }

  private paintEdit(editor: vscode.TextEditor, edit: NextEdit | undefined, what: Picture | undefined): void {
    const { document } = editor;
    const why = edit === undefined ? "" : reason(edit);
    const hoverMessage = new vscode.MarkdownString().appendText(`fimble: ${why}`);
    const { goes, inline, rows = [], seam: at } = what ?? {};
    const gone = goes && new vscode.Range(goes.start.line, goes.start.character, goes.end.line, goes.end.character);
    editor.setDecorations(this.goes, gone === undefined ? [] : [{ range: gone, hoverMessage }]);
    const comes: vscode.DecorationOptions[] = rows.map(({ line, gap, text }) => ({
      range: endOf(document, line),
      renderOptions: { after: { ...comesColours, contentText: text, margin: `0 0 0 ${gap}ch` } },
    }));
    if (inline !== undefined) {
      const { line, character } = inline.at;
      comes.push({
        range: new vscode.Range(line, character, line, character),
        renderOptions: { after: { ...comesColours, contentText: inline.text } },
      });
    }
    editor.setDecorations(this.comes, comes);
    const here = at === undefined ? [] : [new vscode.Range(at.line, 0, at.line, 0)];
    editor.setDecorations(this.above, at?.above === true ? here : []);
    editor.setDecorations(this.below, at?.above === false ? here : []);
  }

  /** The key and the place, and an arrow in the gutter: at the edit if it can be seen, else at the cursor. */
  private paintHint(
    editor: vscode.TextEditor,
    edit: NextEdit | undefined,
    hint: Hint | undefined,
    isIt: boolean,
  ): void {
    const { document } = editor;
    const icons: Record<string, number> = {};
    const says: vscode.DecorationOptions[] = [];
    if (edit !== undefined && isIt && (hint === undefined || hint.isSeen)) icons["arrow-right"] = edit.range.start.line;
    if (edit !== undefined && hint !== undefined) {
      const cursor = editor.selection.active.line;
      const line = hint.isSeen ? edit.range.start.line : cursor;
      if (!hint.isSeen) icons[arrow(hint)] = cursor;
      const key = hint.takesTab ? (hint.isAt ? "Tab: accept" : "Tab: jump") : "";
      const words = hint.isSeen ? key : `next edit: ${hint.where}${key && `, ${key}`}`;
      if (words !== "") {
        says.push({ range: endOf(document, line), renderOptions: { after: { ...saysStyle, contentText: words } } });
      }
    }
    editor.setDecorations(this.says, says);
    for (const [name, type] of Object.entries(this.icons)) {
      const line = icons[name];
      editor.setDecorations(type, line === undefined ? [] : [new vscode.Range(line, 0, line, 0)]);
    }
  }
}

function seam(borderWidth: string): vscode.TextEditorDecorationType {
  return vscode.window.createTextEditorDecorationType({
    isWholeLine: true,
    borderStyle: "solid",
    borderColor: seamColour,
    borderWidth,
  });
}

function pictured(edit: NextEdit, editor: vscode.TextEditor): Picture {
  const { document } = editor;
  const tabSize = typeof editor.options.tabSize === "number" ? editor.options.tabSize : 4;
  return picture(edit, { count: document.lineCount, at: (line) => document.lineAt(line).text }, tabSize);
}

function endOf(document: vscode.TextDocument, line: number): vscode.Range {
  const { end } = document.lineAt(line).range;
  return new vscode.Range(end, end);
}
